"""What the store is for: one copy on disk. Each subject measures one promise, and `measure_store` asks one by its name.

Names and subjects stand in `plan.STORE`; what must be reached in `targets`. A subject works through the command line,
as a user does; where that takes what no disk here has (100 GB, 1 TB), files are sparse, and a program of `programs`
makes up what reading them would give.
"""

from benchmarks.store.ground import Ground, Measured, Stored, install_tools
from benchmarks.store.subjects import measure_store

__all__ = ["Ground", "Measured", "Stored", "install_tools", "measure_store"]
