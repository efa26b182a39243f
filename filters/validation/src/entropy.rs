//! Where the hash maps of the JSON Schema library get their keys from: the host. The library asks the crate
//! `getrandom`, which knows no source on `wasm32-unknown-unknown` and is told to use this one by
//! `getrandom_backend="custom"` in `.cargo/config.toml`.

use tollgate_sdk::random;

/// Called by `getrandom`, which declares it by this name.
// SAFETY: no other crate of this component defines the symbol, and the signature is the one that `getrandom` 0.3
// documents.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    destination: *mut u8,
    length: usize,
) -> Result<(), getrandom::Error> {
    // SAFETY: `getrandom` passes a buffer of `length` writable bytes that nothing else refers to.
    let buffer = unsafe { std::slice::from_raw_parts_mut(destination, length) };
    for chunk in buffer.chunks_mut(8) {
        chunk.copy_from_slice(&random::next().to_le_bytes()[..chunk.len()]);
    }
    Ok(())
}
