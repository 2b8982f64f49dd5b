//! The thread team: fixed splits of one forward pass over a few threads.
