//! Long tests.
