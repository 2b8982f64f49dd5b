//! The thread team: one operation at a time, its parts done by whichever thread is free.

mod gate;
mod shards;
mod team;

pub use shards::Shards;
pub use team::Team;
