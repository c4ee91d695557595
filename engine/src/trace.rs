//! What is done and when, on standard error, for whoever sets `FIM_DEBUG=1`.

use std::io::Write;

use nix::time::{ClockId, clock_gettime};

/// Says that something is done. The time is seconds of the monotonic clock, which all
/// processes of the host share, so that lines of several processes can be put in order.
pub fn trace(text: impl FnOnce() -> String) {
    if !is_traced() {
        return;
    }
    if let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) {
        let (seconds, micros) = (now.tv_sec(), now.tv_nsec() / 1000);
        // One write, so that lines of several processes do not run into each other.
        let line = format!("debug: [{seconds}.{micros:06}] {}\n", text());
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Whether somebody wants to read it.
pub fn is_traced() -> bool {
    std::env::var_os("FIM_DEBUG").is_some_and(|value| value == "1")
}
