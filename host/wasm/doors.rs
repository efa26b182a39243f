//! The two doors by which a guest reaches the host, made from `wit/` when the host is built: `component` gives a linker
//! of components what the contract offers, `direct` a linker of core modules. See `host/build/doors.rs`.

use std::borrow::Cow;

use wasmtime::component::{self, Resource, ResourceType};
use wasmtime::{Caller, Linker, Result, StoreContextMut};

use super::guest::Guest;
use super::{abi, bindings, imports};

include!(concat!(env!("OUT_DIR"), "/doors.rs"));
