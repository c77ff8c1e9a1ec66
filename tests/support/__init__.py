"""Builders and servers that tests share; one file per topic. By purpose:

the repository      source_tree, source_modules, examples (of each property), fresh_process
the run of pytest   shared_run, ended, lanes, work_units, small_disk, killed
planner             planner, priced, plan_command, calendar, handing_over, reference_planner, reference_alternatives,
                    traces
decisions           operator and decisions (a job, its Jobs, pods and nodes), profiling, device_groups, node_pools,
                    resource_slices, stored, hostile, schema_values, crowd
clusters in small   shared_cluster, shared_cluster_jobs, kueue_cluster (a second at a time), control_loop,
                    resting_loop, local_machine, lone_operator, world/ (everything simulated, by a seed)
profiling on nodes  node_profiles, drift, on_demand
API servers         api (says anything), kept_objects (keeps what it is given), lease, outage_server, reflector,
                    small_api_server (in a thread, for who asks it by the official client)
a real cluster      kind/, whose __init__.py is its map
images              pictures, jpegs, heics, profiles_icc, poison, tars, parquets, lances, within (the last three), kept
models              models, foreign_models, onnx_files
stores              store (what each must do), s3 and azure (real servers), fault_proxy, web
workers and runs    worker, worker_config, processes, index, run (for `dueby run`), nights, run_record, simulation,
                    simulated_worker
profiler and study  profiler, nvml, study, warmups
pages               report, report_page, cluster_list, browser, page_checks, site
"""
