//! Many processes, kills and locks: one refresh, and an account that always survives.

mod crowd;
mod kills;
mod locks;
pub mod shim;
mod steps;
