//! The thread team: fixed splits of one forward pass over a few threads.

mod shards;
mod team;

pub use shards::Shards;
pub use team::Team;
