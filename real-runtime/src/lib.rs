//! Real sockets and a real disk under the core.
