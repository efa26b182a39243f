//! The canonical ABI as far as the contract needs it, for the direct door: what a guest hands over is borrowed from its
//! memory, and what it gets is written there. Every address and length comes from the guest, and is checked.
//!
//! A string for the guest needs room in its memory. Asking for it (`cabi_realloc`) means entering the guest once more, and
//! costs more than the call itself. So a guest may keep an arena, as the Rust SDK does: four words, at the address that
//! it exports as `tollgate_arena`, which both sides know.
//!
//! | word | meaning |
//! |---|---|
//! | begin, end | where the arena's bytes are |
//! | next | where the free ones begin |
//! | live | how many pieces are in use; the guest takes one off when it frees a piece, and resets `next` with the last |

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::OnceLock;

use wasmtime::{AsContextMut, Caller, Func, Memory, Result, TypedFunc, WasmParams, WasmResults};

use super::guest::Guest;

/// `cabi_realloc`: old address, old size, alignment, new size.
pub(super) type Realloc = Typed<(u32, u32, u32, u32), u32>;

/// A function of the guest's, whose type is looked at with the first call: to do so means to lock what all instances
/// share, and most of an instance's functions are never called.
pub(super) struct Typed<P, R> {
    function: Func,
    typed: OnceLock<TypedFunc<P, R>>,
}

impl<P, R> Typed<P, R> {
    pub(super) fn new(function: Func) -> Self {
        Self { function, typed: OnceLock::new() }
    }

    pub(super) fn call(&self, mut store: impl AsContextMut<Data = Guest>, parameters: P) -> Result<R>
    where
        P: WasmParams,
        R: WasmResults,
    {
        let typed = match self.typed.get() {
            Some(typed) => typed,
            None => {
                let typed = self.function.typed(&store)?;
                self.typed.get_or_init(|| typed)
            }
        };
        typed.call(&mut store, parameters)
    }
}

/// A guest's memory, and how to get room in it.
#[derive(Clone)]
pub(super) struct Linear {
    pub(super) instance: wasmtime::Instance,
    /// A module may do without, if nothing that it imports or exports needs one.
    pub(super) memory: Option<Memory>,
    pub(super) realloc: Option<Arc<Realloc>>,
    pub(super) arena: Option<u32>,
}

/// A call of the guest's has arrived: its memory, and what belongs to it.
pub(super) fn enter<'a>(caller: &'a mut Caller<'_, Guest>) -> Result<(&'a mut [u8], &'a mut Guest)> {
    let guest = caller.data();
    let Some(linear) = &guest.linear else { return Err(msg("a start function may not call the host")) };
    if guest.is_lowering {
        return Err(msg("`cabi_realloc` and post-return functions may not call the host"));
    }
    match linear.memory {
        Some(memory) => Ok(memory.data_and_store_mut(caller)),
        None => Ok((&mut [], caller.data_mut())),
    }
}

/// How long a list of pairs may be: what is too long for the contract is not even looked at.
const MAX_PAIRS: u32 = 256;

/// The bytes at an address.
pub(super) fn bytes(memory: &[u8], at: u32, length: u32) -> Result<&[u8]> {
    let (begin, length) = (at as usize, length as usize);
    let end = begin.checked_add(length);
    end.and_then(|end| memory.get(begin..end)).ok_or_else(outside)
}

/// The text at an address.
pub(super) fn text(memory: &[u8], at: u32, length: u32) -> Result<&str> {
    std::str::from_utf8(bytes(memory, at, length)?).map_err(|_| msg("a string that is not UTF-8"))
}

/// A list of pairs of texts: each pair is four words.
pub(super) fn pairs(memory: &[u8], at: u32, length: u32) -> Result<Vec<(&str, &str)>> {
    const PAIR: u32 = 16;
    aligned(at, 4)?;
    if length > MAX_PAIRS {
        return Err(msg("more labels than any figure may have"));
    }
    let size = length.checked_mul(PAIR).ok_or_else(|| msg("a list longer than the memory"))?;
    let (pairs, _) = bytes(memory, at, size)?.as_chunks::<{ PAIR as usize }>();
    let mut left = memory.len();
    let mut taken = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let (name, value) = (text_at(memory, pair, 0)?, text_at(memory, pair, 8)?);
        // A list may name the same bytes a thousand times: it hands over no more than the memory holds.
        left = left.checked_sub(name.len() + value.len()).ok_or_else(|| msg("more than the memory holds"))?;
        taken.push((name, value));
    }
    Ok(taken)
}

fn text_at<'a>(memory: &'a [u8], pair: &[u8; 16], offset: usize) -> Result<&'a str> {
    let (words, _) = pair[offset..].as_chunks::<4>();
    match words {
        [at, length, ..] => text(memory, u32::from_le_bytes(*at), u32::from_le_bytes(*length)),
        _ => Err(msg("a pair cut short")),
    }
}

/// What the component layer hands over as owned pairs.
pub(super) fn lend_pairs(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// A number of 16 bits, as the ABI has it: what is above them does not count.
pub(super) fn low_half(word: u32) -> u16 {
    (word & 0xffff) as u16
}

/// A handle as the guest knows it: one more than its place in the table, since 0 is no handle.
pub(super) fn handle(rep: u32) -> Result<u32> {
    rep.checked_add(1).ok_or_else(|| msg("too many handles"))
}

/// The place in the table of what a handle stands for.
pub(super) fn rep(handle: u32) -> Result<u32> {
    handle.checked_sub(1).ok_or_else(|| msg("0 is no handle"))
}

/// The number of an enum's case is too large.
pub(super) fn no_case() -> wasmtime::Error {
    msg("no such case of an enum")
}

/// Where an answer of `N` bytes is to lie.
pub(super) fn place<const N: usize>(memory: &mut [u8], at: u32, align: u32) -> Result<&mut [u8; N]> {
    aligned(at, align)?;
    let rest = memory.get_mut(at as usize..).and_then(<[u8]>::first_chunk_mut);
    rest.ok_or_else(outside)
}

/// `N` bytes of an answer of the guest's.
pub(super) fn taken<const N: usize>(memory: &[u8], at: u32, align: u32) -> Result<&[u8; N]> {
    aligned(at, align)?;
    let rest = memory.get(at as usize..).and_then(<[u8]>::first_chunk);
    rest.ok_or_else(outside)
}

fn aligned(at: u32, align: u32) -> Result<()> {
    if at.is_multiple_of(align) { Ok(()) } else { Err(msg("an address that is not aligned")) }
}

/// An answer that needs room in the guest's memory.
pub(super) enum Gift<'a> {
    /// A string or a list of bytes.
    One(Cow<'a, [u8]>),
    /// An option of one.
    Maybe(Option<Cow<'a, [u8]>>),
    /// A list of them.
    Many(Vec<Cow<'a, [u8]>>),
}

impl Gift<'_> {
    /// The same, borrowed from nothing.
    pub(super) fn into_owned(self) -> Gift<'static> {
        let own = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
        match self {
            Self::One(bytes) => Gift::One(own(bytes)),
            Self::Maybe(bytes) => Gift::Maybe(bytes.map(own)),
            Self::Many(list) => Gift::Many(list.into_iter().map(own).collect()),
        }
    }
}

/// A text's bytes, borrowed if it is.
pub(super) fn as_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// Writes an answer if the guest's arena has room for it, and none is needed elsewhere. False: nothing was written.
pub(super) fn give(memory: &mut [u8], arena: Option<u32>, gift: &Gift<'_>, at: u32) -> Result<bool> {
    let (bytes, option) = match gift {
        Gift::One(bytes) => (bytes, false),
        Gift::Maybe(Some(bytes)) => (bytes, true),
        Gift::Maybe(None) => {
            place::<12>(memory, at, 4)?[0] = 0;
            return Ok(true);
        }
        Gift::Many(_) => return Ok(false),
    };
    let Some(lies) = arena.and_then(|arena| put(memory, arena, bytes)) else { return Ok(false) };
    write_one(memory, at, option, lies, bytes.len())?;
    Ok(true)
}

/// Writes an answer into room that the guest is asked for.
pub(super) fn give_by_realloc(caller: &mut Caller<'_, Guest>, gift: &Gift<'static>, at: u32) -> Result<()> {
    let (bytes, option) = match gift {
        Gift::One(bytes) => (bytes, false),
        Gift::Maybe(Some(bytes)) => (bytes, true),
        Gift::Maybe(None) => return Ok(()),
        Gift::Many(list) => return give_list(caller, list, at),
    };
    let lies = allocate(&mut *caller, bytes, 1)?;
    write_one(memory(caller)?, at, option, lies, bytes.len())
}

fn give_list(caller: &mut Caller<'_, Guest>, list: &[Cow<'static, [u8]>], at: u32) -> Result<()> {
    // First the list, then what is in it: in this order a guest is asked for room by the component layer, too.
    let lies = allocate(&mut *caller, &vec![0; list.len() * 8], 4)?;
    for (bytes, item) in list.iter().zip((lies..).step_by(8)) {
        let lies = allocate(&mut *caller, bytes, 1)?;
        write_one(memory(caller)?, item, false, lies, bytes.len())?;
    }
    write_one(memory(caller)?, at, false, lies, list.len())
}

/// Address and length, after the byte that says that there is one.
fn write_one(memory: &mut [u8], at: u32, option: bool, lies: u32, length: usize) -> Result<()> {
    let at = match option {
        true => {
            let to = place::<12>(memory, at, 4)?;
            to[0] = 1;
            at + 4
        }
        false => at,
    };
    let to = place::<8>(memory, at, 4)?;
    to[..4].copy_from_slice(&lies.to_le_bytes());
    to[4..].copy_from_slice(&word(length)?.to_le_bytes());
    Ok(())
}

/// Puts bytes into the arena, and returns where they lie; none if they do not fit.
pub(super) fn put(memory: &mut [u8], arena: u32, bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() {
        return Some(1); // nowhere, which a guest does not free
    }
    let length = u32::try_from(bytes.len()).ok()?;
    let head = memory.get(arena as usize..)?.first_chunk::<16>()?;
    let (words, _) = head.as_chunks::<4>();
    let [_, end, next, live] = words else { return None };
    let lies = u32::from_le_bytes(*next);
    let next = lies.checked_add(length).filter(|next| *next <= u32::from_le_bytes(*end))?;
    let live = u32::from_le_bytes(*live).checked_add(1)?;
    memory.get_mut(lies as usize..next as usize)?.copy_from_slice(bytes);
    let counts = memory.get_mut(arena as usize + 8..)?.first_chunk_mut::<8>()?;
    counts[..4].copy_from_slice(&next.to_le_bytes());
    counts[4..].copy_from_slice(&live.to_le_bytes());
    Some(lies)
}

/// Copies bytes to where the guest says.
pub(super) fn allocate(mut store: impl AsContextMut<Data = Guest>, bytes: &[u8], align: u32) -> Result<u32> {
    let Some(linear) = store.as_context().data().linear.clone() else { return Err(no_realloc()) };
    let realloc = linear.realloc.ok_or_else(no_realloc)?;
    let length = word(bytes.len())?;
    store.as_context_mut().data_mut().is_lowering = true;
    let lies = realloc.call(&mut store, (0, 0, align, length))?;
    store.as_context_mut().data_mut().is_lowering = false;
    aligned(lies, align)?;
    let memory = linear.memory.map_or(&mut [][..], |memory| memory.data_mut(&mut store));
    let to = memory.get_mut(lies as usize..).and_then(|rest| rest.get_mut(..bytes.len()));
    to.ok_or_else(|| msg("out of bounds: `cabi_realloc` answered an address outside the memory"))?
        .copy_from_slice(bytes);
    Ok(lies)
}

fn memory<'a>(caller: &'a mut Caller<'_, Guest>) -> Result<&'a mut [u8]> {
    let memory = caller.data().linear.as_ref().and_then(|linear| linear.memory);
    Ok(memory.ok_or_else(no_realloc)?.data_mut(caller))
}

/// A length as the guest has it.
pub(super) fn word(length: usize) -> Result<u32> {
    u32::try_from(length).map_err(|_| msg("longer than 4 GiB"))
}

fn no_realloc() -> wasmtime::Error {
    msg("there is no `cabi_realloc` to make room with")
}

fn outside() -> wasmtime::Error {
    msg("out of bounds: an address or a length outside the guest's memory")
}

fn msg(text: &'static str) -> wasmtime::Error {
    wasmtime::Error::msg(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 64 bytes of memory with an arena of 16 at 32, whose words are at 8.
    fn with_arena() -> Vec<u8> {
        let mut memory = vec![0; 64];
        for (word, at) in [32u32, 48, 32, 0].into_iter().zip([8, 12, 16, 20]) {
            memory[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        memory
    }

    #[test]
    fn an_arena_gives_what_it_has_and_no_more() {
        let mut memory = with_arena();
        assert_eq!(put(&mut memory, 8, b"0123456789"), Some(32));
        assert_eq!(put(&mut memory, 8, b"0123456"), None);
        assert_eq!(put(&mut memory, 8, b"abcdef"), Some(42));
        assert_eq!(&memory[32..48], b"0123456789abcdef");
        assert_eq!(memory[20], 2);
        assert_eq!(put(&mut memory, 8, b""), Some(1));
        assert_eq!(memory[20], 2);
    }

    #[test]
    fn an_arena_that_lies_harms_nobody() {
        for arena in [0, 49, 60, 64, u32::MAX] {
            assert_eq!(put(&mut [0xff; 64], arena, b"x"), None, "{arena}");
        }
        let mut memory = with_arena();
        memory[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(put(&mut memory, 8, &[7; 33]), None);
        memory[16..20].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
        assert_eq!(put(&mut memory, 8, b"xyz"), None);
    }

    #[test]
    fn addresses_are_checked() {
        let memory = [b'a'; 64];
        assert_eq!(text(&memory, 60, 4).unwrap(), "aaaa");
        assert!(text(&memory, 61, 4).is_err() && text(&memory, u32::MAX, u32::MAX).is_err());
        assert!(text(&[0xff], 0, 1).is_err());
        assert!(pairs(&memory, 2, 1).is_err() && pairs(&memory, 4, u32::MAX / 8).is_err());
        assert!(pairs(&[0; 64], 4, 3).unwrap().iter().all(|pair| *pair == ("", "")));
        assert!(place::<12>(&mut [0; 64], 53, 1).is_err() && place::<12>(&mut [0; 64], 50, 4).is_err());
        assert!(rep(0).is_err() && handle(u32::MAX).is_err());
    }
}
