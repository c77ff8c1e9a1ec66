"""Which devices does each job have, from when to when: one question, and schedule(request) -> reply answers it.

In the order in which it is read:

    request         what goes in and comes out: jobs, devices, promises; starts, stops, reservations, waits
    job, devices    a job with its workers and windows; who may use which devices, and the limits that bind them
    schedule        the answer, step by step
    watch, lag      a job alone: its first plan; does what it has suffice, and what is the least change
    stores          the limits of the stores that several jobs read
    held_devices    what workers have until when, and so what is free over time, for whom
    usable          a job on the devices that it may use, as the calendar takes it
    place_all       what was promised is kept; the calendar of the jobs that wait or lag, and whose fault it is if none
    begin           what of a placement begins now, and how the rest is kept
    planned_windows status.plan of what a placement reserves, and what is proved of it
    within_cost     a new job on what it can pay for, by its maxCost, or its refusal
    within_budget   the same by its namespace's budget: refused, or kept waiting until enough is free
    affordable      can a job pay for more workers?
    stops           who gives way, and who is asked to
    explain         sentences for people

and the calendar of jobs on devices that come and go, which `dueby plan` of several jobs asks directly:

    calendar_job, reservation, free_devices             its values: jobs, placements, windows, levels
    calendar        the order of the deadline classes
    arrivals        what was given before is kept; new Hard and Soft jobs
    hand_over       running Hard jobs hand devices over
    draft, place_job, place                             several jobs, one job, one job on levels
    place_by_cost   one job on the devices that cost least
    cut             the proof that jobs can't be done
    verify          the exact check of every calendar

Everything is pure. Times are integers in microseconds: from now, or since 1970 where a name says `now_us` or
`deadline_us`.
"""
