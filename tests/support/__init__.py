"""What tests share: makers of test data, and real processes. Nothing here is part of p2phub."""
