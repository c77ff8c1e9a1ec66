"""The hardware monitor: watches the machine while a profile is measured, and writes Parquet.

    features/    the columns as a table of data, from which files and docs/monitor.md are made
    readers/     what reads them: psutil, torch's allocator, the processes' status pages, the model

A thread takes samples at the moments of a schedule; a journal writes those of one device class.
"""
