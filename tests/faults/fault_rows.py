"""What happens to files, keys, terminals and the monitor, what is expected, and which test holds it."""

_HISTORY, _DAEMON, _HOSTILE = (f"tests/monitor/test_monitor_{name}.py" for name in ("history", "daemon", "hostile"))
_SERVE, _OUTPUTS = "tests/test_server.py", "tests/run/test_run_outputs.py"
_FILES, _ECHO = "tests/test_history.py", "tests/cli/test_cli_echo.py"
ROWS = [
    (
        "an output that is a device or a pipe",
        "it is written to and stays what it is, with and without --force",
        f"{_FILES}::test_a_pipe_is_written_to_and_stays_one",
    ),
    (
        "an output that is a link",
        "the file at its end is written, and keeps its permissions",
        f"{_FILES}::test_a_link_is_followed_to_the_file_that_it_names",
    ),
    (
        "a link in place of a file that a run makes for itself",
        "it is not followed; the run takes another name",
        f"{_FILES}::test_a_link_in_place_of_our_own_file_is_not_followed",
    ),
    (
        "a file that is removed, or replaced by a link, while a run writes it",
        "exit code 2; the run is saved elsewhere, and what the link names is not touched",
        f"{_FILES}::test_a_file_that_is_taken_away_while_it_is_written_is_no_complete_output",
    ),
    (
        "a run that is killed",
        "`lll recover` turns its journal into the file that it would have written, and says how many requests were "
        "under way at least",
        "tests/cli/test_cli_recover.py",
    ),
    (
        "other people's files in a monitor's history",
        "they stay; only segments of a monitor are removed",
        f"{_HISTORY}::test_only_old_segments_go_and_other_files_stay",
    ),
    (
        "two monitors with one history",
        "exit code 2 for the second, which says what to do",
        f"{_HISTORY}::test_a_folder_that_another_monitor_writes_to_is_refused",
    ),
    (
        "a full disk under a monitor's history",
        "probes go on; one message, no half line, no empty segment",
        f"{_HISTORY}::test_a_full_disk_does_not_fill_with_empty_segments",
    ),
    (
        "a server that sends the key back",
        "it is masked in every output of every command",
        "tests/cli/test_cli_secret_forms.py",
    ),
    (
        "AWS credentials and an address of plain http",
        "refused before anything is sent",
        "tests/orchestrator/test_plan.py::test_aws_credentials_never_leave_the_machine_unencrypted",
    ),
    (
        "control and escape characters, and commands to a CI runner, in what a server says",
        "blanks in their place, wherever it is printed",
        f"{_ECHO}::test_no_text_of_a_server_steers_a_terminal_or_a_runner",
    ),
    (
        "a closed or full standard output",
        "one line on standard error, exit code 2",
        f"{_ECHO}::test_an_output_that_takes_nothing_is_told_without_a_traceback",
    ),
    (
        "a process that is stopped, or a machine that is suspended",
        "named in the records that were under way, and on the page",
        "tests/cli/test_cli_signals.py",
    ),
    (
        "Ctrl-C or SIGTERM, whatever a command waits for",
        "it ends, with a message and exit code 130; what serves ends with 0",
        "tests/cli/test_cli_end.py::test_a_signal_ends_every_command",
    ),
    (
        "a monitor's lock file among the files to analyze",
        "left out and named; a folder stands for the runs in it",
        "tests/cli/test_cli_saved_runs.py::test_a_lock_that_a_glob_names_is_left_out_in_one_sentence",
    ),
    (
        "silent clients of /metrics",
        "at most 64 are open; the one that is silent for longest leaves for the next",
        f"{_SERVE}::test_silent_clients_keep_nobody_out",
    ),
    (
        "a round of the monitor that fails for any reason",
        "reported once; the next round comes",
        f"{_DAEMON}::test_rounds_go_on_whatever_one_ends_with",
    ),
    (
        "a target of the monitor that never ends an answer: 1xx, handshake, head, events",
        "its own probe fails; the rounds of the others go on, and /healthz and /metrics answer",
        f"{_HOSTILE}::test_a_target_that_never_ends_an_answer_stops_neither_the_others_nor_the_pages",
    ),
    (
        "a target of the monitor that hangs within all its limits of time",
        "the others are asked as ever; `hanging` fires after three rounds",
        "tests/monitor/test_monitor_daemon.py::test_a_target_that_hangs_holds_up_no_other_and_is_told",
    ),
    (
        "memory that is limited (`ulimit -v`), and an export that does not fit",
        "exit code 2; the run is saved, and the message says where; a library that crashes costs only its own process",
        f"{_OUTPUTS}::test_a_run_whose_export_breaks_is_rescued",
    ),
    (
        "no memory for one request",
        "`protocol_error` for that one; the others go on",
        "tests/orchestrator/test_engine.py::test_no_memory_for_one_request_costs_that_request_alone",
    ),
    (
        "no memory for the rest of a run, or for its page",
        "exit code 2; the message says which file holds what was measured",
        "tests/cli/test_cli_running.py::test_a_run_that_runs_out_of_memory_names_the_file_of_what_was_measured",
    ),
    (
        "a file that never ends (a device, a pipe that is fed for ever), wherever a file is named",
        "exit code 2 and why: settings, keys, prices and certificates hold at most 64 MB, prompts, sessions and traces "
        "1 GB, what comes through a pipe 64 MB; a run is a file",
        "tests/cli/test_cli_endless_files.py::test_a_file_that_never_ends_is_refused",
    ),
    (
        "a record without end in a run file, or much that is no record",
        "what stands before it is kept, with a warning: a line or a message holds at most 512 MB; the file has any "
        "size, a JSON document 4 GB",
        "tests/test_history_framing.py::test_records_before_what_is_no_record_are_kept",
    ),
    (
        "a link in place of the state that `lll ui` keeps in its folder",
        "neither read nor written through; the state is kept until the end only",
        "tests/ui/test_ui_folder.py::test_a_link_in_place_of_the_state_is_neither_read_nor_written_through",
    ),
    (
        "a receiver of pushes or alerts that answers without end, drips, bombs, redirects, echoes keys, writes "
        "escapes, or asks to wait for a year",
        "the push fails within its time (10 s an attempt, at most 3 attempts and 30 s in all), with one clean line "
        "without keys; redirects are not followed",
        "tests/push/test_push_evil_receivers.py::"
        "test_no_receiver_holds_a_push_beyond_its_time_or_writes_on_the_terminal",
    ),
    (
        "a monitor's history folder, or its open segment, that is removed or replaced while it is written to",
        "said once; a new segment is begun in what stands there now, unless another monitor writes to it",
        "tests/monitor/test_monitor_history.py::test_where_the_segment_is_gone_a_new_one_is_begun_and_it_is_said",
    ),
]
