#!/usr/bin/env bash
# `make demo`: use DueBy on this machine, from measuring it to the report, with the commands that a user would type.
# Everything is written to build/demo. When run again, it keeps the photos and the profile, and runs the job again.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH="$PWD/.venv/bin:$PATH"
here=examples/demo demo=build/demo job=build/demo/inferencejob.yaml
mkdir -p "$demo"

step() { printf '\n== %s\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }

step "1/5 photos: crops of real photos from the scikit-image package"
if [ -e "$demo/photos.done" ]; then
  echo "already there, in $demo/photos"
else
  rm -rf "$demo/photos"
  show python $here/make_photos.py $demo/photos
  touch "$demo/photos.done"
fi

step "2/5 profile: how fast is this machine? (--quick takes about 45 s; without it the spread is known better)"
if [ -e "$demo/profile.done" ]; then
  echo "already measured, in $demo/profiles (to measure again: rm $demo/profile.done)"
else
  rm -rf "$demo/profiles"
  show dueby profile --model efficientnet_lite0 --quick -o $demo/profiles
  touch "$demo/profile.done"
fi

step "3/5 plan: the fewest devices that meet the deadline, and the proof that fewer can't"
show python $here/choose_deadline.py $here/inferencejob.yaml $demo/profiles $job
show dueby plan -f $job --profiles $demo/profiles

step "4/5 run: as planned, one process per device"
rm -rf "$demo/results"  # or the run would find every part there and end at once
outcome=0
show dueby run -f $job --profiles $demo/profiles || outcome=$?
case $outcome in
  0) ;;
  # Late. The demo goes on, since the report is the more interesting then.
  4) echo "Late: the machine is slower now than when it was measured. The report shows where the time went." ;;
  *) exit $outcome ;;
esac

step "5/5 report"
show dueby report $demo/results
printf '\nThe results are Parquet files in %s. "dueby run" again ends at once: every part is there.\n' "$demo/results"
