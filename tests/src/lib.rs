//! Workspace tests; see the folder beside this file.
