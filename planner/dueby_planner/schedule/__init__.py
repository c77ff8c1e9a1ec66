"""Which devices does each job have, from when to when: one question, and schedule(request) -> reply answers it.

In the order in which it is read:

    request         what goes in and comes out: jobs, devices, promises; starts, stops, reservations, waits
    job, devices    a job with its workers and windows; who may use which devices, and the quotas that bind them
    schedule        the answer, step by step
    lag, watch      a running job: is what it has enough, and what is the least change
    one_job         a job that nothing stands beside: its first plan
    holds, ledger   what workers have until when, and so what is free over time, for whom
    promises        what is reserved for whom, and how much may be
    usable          a job on the devices that it may use, as the calendar takes it
    place_all       the calendar of those that wait and those that lag, and whose fault it is if there is none
    begin, windows  what of a placement begins now, and how the rest is kept
    stops           who gives way, and who is asked to
    explain         sentences for people; answer: documents

and the calendar of jobs on devices that come and go, which `dueby plan` of several jobs asks directly:

    calendar_job, reservation, free_devices, tables     its values: jobs, windows, levels of free devices, quotas
    calendar        the order of the deadline classes
    arrivals        what was given before is kept; new Hard and Soft jobs
    hand_over       running Hard jobs hand devices over
    draft, place_set, place_job, place                  several jobs, one job, one job on levels
    cut             the proof that jobs can't be done
    verify          the exact check of every calendar

Everything is pure. Times are integers in microseconds: from now, or since 1970 where a name says `now_us` or
`deadline_us`.
"""
