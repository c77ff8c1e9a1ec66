#!/usr/bin/env bash
# `make demo`: DueBy on this machine, from measuring it to the report, with the commands a user would give.
# Everything it writes is in build/demo. Run again, it keeps the photos and the profile and does the job anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH="$PWD/.venv/bin:$PATH"
here=examples/demo demo=build/demo job=build/demo/inferencejob.yaml
mkdir -p "$demo"

step() { printf '\n== %s\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }

step "1/5 photos: views of real photos that a package ships"
if [ -e "$demo/photos.done" ]; then
  echo "there already, in $demo/photos"
else
  rm -rf "$demo/photos"
  show python $here/make_photos.py $demo/photos
  touch "$demo/photos.done"
fi

step "2/5 profile: how fast is this machine? (--quick: about 45 s; without it the spread is known better)"
if [ -e "$demo/profile.done" ]; then
  echo "measured already, in $demo/profiles (rm $demo/profile.done to measure again)"
else
  rm -rf "$demo/profiles"
  show dueby profile --model efficientnet_lite0 --quick -o $demo/profiles
  touch "$demo/profile.done"
fi

step "3/5 plan: the fewest devices that meet the deadline, with the proof that fewer don't"
show python $here/choose_deadline.py $here/inferencejob.yaml $demo/profiles $job
show dueby plan -f $job --profiles $demo/profiles

step "4/5 run: as planned, one process per device"
rm -rf "$demo/results"
outcome=0
show dueby run -f $job --profiles $demo/profiles || outcome=$?
case $outcome in
  0) ;;
  4) echo "Late: the machine is slower now than when it was measured. The report shows where the time went." ;;
  *) exit $outcome ;;
esac

step "5/5 report"
show dueby report $demo/results
printf '\nThe results are a folder of Parquet: %s. Run "dueby run" again and it returns at once: every part is there.\n' "$demo/results"
