"""The tests of whole searches that `make test` runs beside tests/unit: one for each promise.

`make test-all` runs the others too. A name without a test stands for all tests of its file.
"""

from __future__ import annotations

CORE: dict[str, list[str]] = {
    # README: the way from a configuration to a file that other programs load
    "the first screen, the task and the configurations of README and docs/": ["e2e/test_readme.py"],
    "the program answers quickly, plans, and names every mistake with its line": ["e2e/test_cli.py"],
    "a search on Ray trains, pauses, promotes and keeps what its summary says": [
        "e2e/test_search.py::test_the_summary_is_what_the_study_holds",
        "e2e/test_search.py::test_every_trial_is_told_to_optuna_and_one_is_trained_to_the_end",
        "e2e/test_search.py::test_a_run_leaves_no_scratch_lock_or_partial_file",
        "e2e/test_search.py::test_the_best_checkpoint_is_kept_and_is_that_of_the_summary",
        "e2e/test_search.py::test_paused_trials_are_promoted_and_go_on_in_few_processes",
    ],
    "the same seed gives the same trials": [
        "e2e/test_search.py::test_the_same_seed_one_at_a_time_gives_the_same_trials"
    ],
    "a notebook's function is searched": ["e2e/test_python_search.py"],
    "the hosts of a cluster run the trials of a search": [
        "e2e/test_hosts_search.py::test_both_workers_run_trials_of_a_search"
    ],
    "several trials share a GPU": ["e2e/test_search.py::test_four_trials_share_one_gpu"],
    "a folder of images and masks is searched, and TensorBoard shows it": [
        "e2e/test_search.py::test_a_folder_of_images_and_masks_is_searched",
        "e2e/test_tensorboard.py::test_every_virtual_epoch_is_one_point_on_an_axis_of_steps",
    ],
    "data-loading workers change nothing": [
        "e2e/test_worker_stream.py::test_a_search_with_workers_finds_what_a_trial_without_finds_and_leaves_no_process"
    ],
    "a GAN is searched": [
        "e2e/test_gan_search.py::test_both_learning_rates_are_searched_and_the_best_has_the_least_distance"
    ],
    "a network of one's own is searched, exported with the lines that make it, and retrained": [
        "e2e/test_imported_search.py"
    ],
    "a training function is paused, promoted and continued bit for bit": [
        "e2e/test_function_search.py::test_ray_and_this_process_train_a_function_alike",
        "e2e/test_function_search.py::test_a_search_of_a_function_that_is_interrupted_ends_as_if_it_had_not_been",
    ],
    "Lightning's Trainer is searched on Ray as in one process, and exported": [
        "e2e/test_lightning_search.py::test_ray_and_this_process_train_alike_and_the_export_is_the_modules_state_dict"
    ],
    "a run in a storage goes on exactly on another machine, and is never believed half": [
        "e2e/test_storage.py::test_another_machine_goes_on_exactly",
        "e2e/test_storage.py::test_a_damaged_mirror_is_never_believed",
        "e2e/test_storage.py::test_a_second_driver_is_refused_while_the_first_lives",
    ],
    "stages follow each other": [
        "e2e/test_staged_runs.py::test_the_second_stage_begins_with_the_best_of_the_first_and_searches_its_own_alone",
        "e2e/test_staged_runs.py::test_the_last_stages_best_is_exported_and_its_retraining_is_ready",
    ],
    "a finished search grows": [
        "e2e/test_growing.py::test_longer_trials_go_on_from_where_they_were_as_if_they_had_been_longer_from_the_start"
    ],
    "the export evaluates to the study's value, loads in plain PyTorch, and is trained on": [
        "e2e/test_exporting.py::test_the_export_is_the_best_trial_and_evaluates_to_its_value",
        "e2e/test_exporting.py::test_the_weights_load_in_plain_pytorch",
        "e2e/test_retraining.py::test_retraining_begins_with_the_exported_weights",
    ],
    "what was found is trained on each fold, told together, and goes on after a kill": [
        "e2e/test_retraining_folds.py::test_all_folds_are_trained_and_told_with_their_mean_and_deviation",
        "e2e/test_retraining_folds.py::test_a_killed_training_on_folds_goes_on_as_if_undisturbed",
    ],
    "a search is written to MLflow, and what is there is not written again": [
        "e2e/test_mlflow.py::test_a_search_is_one_run_with_its_trials_nested_in_it",
        "e2e/test_mlflow.py::test_what_is_there_is_not_written_again",
    ],
    "an export predicts files with the value that the study has, for each built-in task": [
        "e2e/test_predicting.py"
    ],
    "an ensemble predicts what was measured and is better than one trial, a soup of weights too": [
        "e2e/test_ensembles.py",
        "e2e/test_soups.py",
    ],
    "a graph gives the value of the weights, or nothing is exported": [
        "e2e/test_exporting_graphs.py::"
        "test_graphs_give_the_value_of_the_weights_and_the_export_is_trained_on",
        "e2e/test_exporting_graphs.py::test_a_refused_graph_leaves_nothing_behind",
    ],
    "check --data finds what is wrong with the data": [
        "e2e/test_data_check.py::test_all_damage_is_reported_in_text_and_json_and_the_exit_code_is_1",
        "e2e/test_data_check.py::test_ctrl_c_ends_the_reading_at_once_also_in_the_middle_of_samples",
    ],
    "verify calls a sound run sound and names damage with its cost": [
        "e2e/test_verifying.py::test_a_finished_run_is_sound_and_says_what_was_checked",
        "e2e/test_verifying.py::test_a_damaged_best_checkpoint_is_reported_with_the_next_best",
    ],
    "list and show tell a search that runs from one that was killed, and optuna-dashboard opens the copy": [
        "e2e/test_listed_searches.py",
        "e2e/test_optuna_dashboard.py",
    ],
    "clean frees what nobody needs": [
        "e2e/test_cleaning.py::test_clean_removes_what_the_dry_run_lists_and_the_run_is_intact"
    ],
    "an actor used again trains like a fresh one": ["e2e/test_trainable.py"],
    "a loader resumes exactly, whatever it loads": [
        "e2e/test_properties_stream.py",
        "e2e/test_properties_loader_stream.py",
    ],
    "the trainer and its parts can be used alone": ["e2e/test_architecture_processes.py"],
    # docs/faults.md, by its numbers
    "1, 2, 6: a process dies, a step raises": [
        "faults/test_faults_trials.py::test_a_trial_goes_on_from_its_checkpoint_and_ends_as_if_undisturbed"
    ],
    "2, 20, 23: a kill or a full disk while a checkpoint or the journal is written": [
        "faults/test_checkpoint_faults.py",
        "faults/test_journal_faults.py",
        "faults/test_files_faults.py::"
        "test_what_a_process_has_half_written_when_it_dies_is_replaced_by_the_next_writing",
    ],
    "3: a data-loading worker dies": [
        "faults/test_faults_data.py::"
        "test_a_data_loading_worker_that_is_killed_is_named_and_the_trial_is_as_if_it_had_lived"
    ],
    "4: a step hangs": ["faults/test_hangs.py"],
    "5, 8, 9, 10: exceptions, NaN, no metric, out of memory": [
        "faults/test_faults_trials.py::"
        "test_a_trial_that_cannot_be_saved_ends_with_its_reason_after_a_bounded_number_of_attempts"
    ],
    "12, 13, 14, 16, 17: Ctrl-C once and twice, SIGTERM, killed before the first report, begun twice": [
        "faults/test_faults_signals.py::test_killed_interrupted_and_terminated_a_search_ends_as_if_nothing_had_been"
    ],
    "35: SIGTERM to the whole process group": [
        "faults/test_faults_groups.py::"
        "test_a_signal_to_the_whole_group_lets_the_running_virtual_epochs_end_and_loses_nothing"
    ],
    "18: the configuration changed": [
        "faults/test_faults_files.py::"
        "test_an_edited_configuration_is_refused_with_the_difference_and_the_way_out"
    ],
    "21, 33: damaged and hostile checkpoints": [
        "faults/test_faults_files.py::test_damaged_checkpoints_are_set_aside_and_the_ones_before_are_used"
    ],
    "22: half a line at the end of the journal": [
        "faults/test_faults_files.py::test_what_a_killed_process_left_half_done_is_dropped"
    ],
    "23: the disk is full": [
        "faults/test_faults_disk.py::"
        "test_a_journal_that_cannot_be_appended_to_ends_the_search_which_goes_on_when_there_is_space"
    ],
    "24, 25: results that cannot be written, more than there is": [
        "faults/test_faults_disk.py::test_results_that_cannot_be_written_are_one_error_before_any_trial",
        "faults/test_faults_files.py::test_more_cpus_and_gpus_than_there_are_is_one_error_before_any_trial",
    ],
    "27: broken images": [
        "faults/test_faults_data.py::test_a_broken_file_is_named_by_check_or_skipped_with_a_line",
        "faults/test_faults_data.py::"
        "test_a_file_that_breaks_in_training_may_be_skipped_and_a_restart_is_exact",
    ],
    "38: shared memory is small or full": ["faults/test_machine_memory.py"],
    "39, 40: an error where nothing can be written, output that is lost": [
        "faults/test_machine_places.py::"
        "test_the_message_comes_first_and_the_traceback_where_it_can_be_written",
        "faults/test_machine_streams.py::test_a_short_command_whose_output_is_lost_ends_quietly_or_says_so",
    ],
    "33: hostile configurations": [
        "faults/test_faults_data.py::"
        "test_a_hostile_configuration_is_refused_at_once_in_short_lines_and_nothing_is_executed"
    ],
}
"""By promise, files and tests below tests/."""
