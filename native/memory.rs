//! Buffers that grow only where there is memory for them: a failed allocation of Rust's own kind ends the process.
//!
//! Everything whose size follows from what a peer or the application sends grows this way. What stays small, such as
//! the few hundred bytes of a connection, does not.

use std::collections::TryReserveError;
use std::hint::black_box;

/// There is no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking;

impl From<TryReserveError> for Lacking {
    fn from(_: TryReserveError) -> Lacking {
        Lacking
    }
}

/// Makes room for more elements; like `push`, for more than that where it has to grow.
///
/// # Errors
/// There is no memory.
pub fn reserve<T>(target: &mut Vec<T>, more: usize) -> Result<(), Lacking> {
    Ok(target.try_reserve(more)?)
}

/// Makes room for so many elements in all.
///
/// # Errors
/// There is no memory.
pub fn reach<T>(target: &mut Vec<T>, count: usize) -> Result<(), Lacking> {
    Ok(target.try_reserve(count.saturating_sub(target.len()))?)
}

/// Makes a buffer with room for exactly so many elements.
///
/// # Errors
/// There is no memory.
pub fn with_capacity<T>(count: usize) -> Result<Vec<T>, Lacking> {
    let mut made = Vec::new();
    made.try_reserve_exact(count)?;
    Ok(made)
}

/// Appends bytes.
///
/// # Errors
/// There is no memory.
pub fn append(target: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Lacking> {
    target.try_reserve(bytes.len())?;
    target.extend_from_slice(bytes);
    Ok(())
}

/// Copies bytes.
///
/// # Errors
/// There is no memory.
pub fn copy(bytes: &[u8]) -> Result<Vec<u8>, Lacking> {
    let mut made = with_capacity(bytes.len())?;
    made.extend_from_slice(bytes);
    Ok(made)
}

/// Checks that so many bytes can be had, before something is called that allocates them and cannot say that it failed.
///
/// # Errors
/// There is no memory.
pub fn probe(bytes: usize) -> Result<(), Lacking> {
    black_box(with_capacity::<u8>(bytes)?);
    Ok(())
}
