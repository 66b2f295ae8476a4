"""The test files that take longest: they build whole workspaces, start servers or train in processes of their own."""

LONGEST = [
    "test_servers.py",
    "test_stopped_flows.py",
    "test_workers.py",
    "test_sweep.py",
    "test_train_repeats.py",
    "test_distributed_ends.py",
    "test_distributed.py",
    "test_cli.py",
    "test_retrain.py",
    "test_dag.py",
    "test_methods.py",
    "test_trainer.py",
    "test_training_plan.py",
    "test_train_run.py",
]
"""The two workers begin with them in this order; else one would end minutes after the other.

The first file mostly waits for schedules, so that the processor is free for the second one.
"""
