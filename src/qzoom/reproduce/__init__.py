"""Every stage and ablation run in order on procedural data, with its tables."""
