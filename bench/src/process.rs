//! What the system knows of a process: processor time and memory.

use crate::Result;
use std::fs;

/// Gives the processor time of all threads of a process in nanoseconds.
///
/// # Errors
/// The process does not exist.
pub fn cpu_ns(pid: u32) -> Result<u64> {
    let tasks = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&tasks).map_err(|error| format!("{tasks}: {error}"))?;
    let mut total = 0;
    for entry in entries.flatten() {
        // A thread may end between the listing and the reading.
        if let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) {
            total += text.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(total)
}

/// Memory of a process in KiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident, shared pages included.
    pub rss_kib: u64,
    /// Resident, shared pages divided among those who share them.
    pub pss_kib: u64,
}

/// Gives the resident memory of a process.
///
/// # Errors
/// The process does not exist, or its memory may not be read.
pub fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.and_then(|word| word.parse().ok()).ok_or_else(|| format!("{path}: no {name}"))
    };
    Ok(Memory { rss_kib: field("Rss:")?, pss_kib: field("Pss:")? })
}
