//! The functions on header fields, which `request` and `response` have alike.

pub use crate::bindings::tollgate::filter::types::HeaderError;

/// Defines the functions on fields, over the host's functions of the same names.
macro_rules! field_functions {
    () => {
        /// The first value of that field. Bytes that are not UTF-8 read as U+FFFD.
        pub fn header(name: &str) -> Option<String> {
            host::header(name)
        }

        /// All values of that field, in order, as they are.
        pub fn header_bytes(name: &str) -> Vec<Vec<u8>> {
            host::header_bytes(name)
        }

        /// Each field's name once, in lower case.
        pub fn header_names() -> Vec<String> {
            host::header_names()
        }

        /// Replaces all values of that field by one.
        ///
        /// # Errors
        /// [`HeaderError`] says why this field, or any field at this point, cannot be changed.
        pub fn set_header(name: &str, value: &str) -> Result<(), HeaderError> {
            host::set_header(name, value)
        }

        /// Adds a value to those that the field has.
        ///
        /// # Errors
        /// As [`set_header`].
        pub fn append_header(name: &str, value: &str) -> Result<(), HeaderError> {
            host::append_header(name, value)
        }

        /// Removes the field; removing what is not there is no error.
        ///
        /// # Errors
        /// As [`set_header`].
        pub fn remove_header(name: &str) -> Result<(), HeaderError> {
            host::remove_header(name)
        }
    };
}

pub(crate) use field_functions;
