"""Orders in, conversions and rejections out: pure functions on Arrow columns, no I/O."""
