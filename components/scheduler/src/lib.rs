//! Who should be where: the scheduler of a TinyKV cluster.
