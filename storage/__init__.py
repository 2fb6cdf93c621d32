"""What a node keeps on disk: LevelDB, write-ahead log, sign state, mempool journal and vault."""
