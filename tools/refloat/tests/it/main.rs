//! The program as a user sees it: its answers, its exit codes, and the laws over all phony guests.

mod answers;
mod laws;
mod output;
mod program;
mod real_guest;
