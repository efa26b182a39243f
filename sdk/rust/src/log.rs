//! Lines in the host's log, which adds the filter's name and the exchange's id. Past 8 KiB a line is cut.

pub use crate::bindings::tollgate::filter::log::Level;

/// Writes one line.
pub fn write(level: Level, message: &str) {
    crate::host::log::write(level, message);
}

/// One macro a level. `$d` is a dollar sign, which a macro cannot write into a macro otherwise.
#[rustfmt::skip] // It would indent the inner macro further every time.
macro_rules! level {
    ($d:tt $name:ident $macro:ident $level:ident) => {
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $macro {
            ($d($d text:tt)+) => {
                $crate::log::write($crate::log::Level::$level, &::std::format!($d($d text)+))
            };
        }
        /// Writes one line of this level; takes what `format!` takes.
        #[doc(inline)]
        pub use $macro as $name;
    };
}

level!($ error __log_error Error);
level!($ warn __log_warn Warn);
level!($ info __log_info Info);
level!($ debug __log_debug Debug);
level!($ trace __log_trace Trace);
