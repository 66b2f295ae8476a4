"""The test files that take longest: they build whole workspaces, one process per stage."""

LONGEST = [
    "test_retrain.py",
    "test_dag.py",
    "test_cli.py",
    "test_methods.py",
    "test_trainer.py",
    "test_training_plan.py",
    "test_distributed.py",
    "test_servers.py",
    "test_train_run.py",
]
"""The two workers begin with them; else one would end minutes after the other."""
