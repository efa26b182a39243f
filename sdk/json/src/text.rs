//! Strings: where they end, and what their escapes stand for.

/// Eight bytes at a time: a word with one bit set in each.
const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Where the string that begins at `begin`, after its quote, ends, and whether it has escapes. None: it does not end, or has
/// a control character or an escape that means nothing.
pub(crate) fn end(text: &[u8], begin: usize) -> Option<(usize, bool)> {
    let mut at = begin;
    let mut is_escaped = false;
    loop {
        at += plain(text.get(at..)?);
        match text.get(at)? {
            b'"' => return Some((at, is_escaped)),
            b'\\' => {
                at += escape(text.get(at..)?)?.1;
                is_escaped = true;
            }
            _ => return None,
        }
    }
}

/// What a string's escapes stand for. `inner` was read before, so that each of them means something.
pub(crate) fn decode(inner: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while !rest.is_empty() {
        let (literal, escaped) = rest.split_at(plain(rest).min(rest.len()));
        decoded.extend_from_slice(literal);
        let Some((character, length)) = escape(escaped) else { break };
        decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = escaped.get(length..).unwrap_or_default();
    }
    decoded
}

/// The first eight bytes in a word, with zeros after a shorter text: two texts of one length that are no longer than that are
/// the same if their words are.
#[inline]
pub fn prefix(text: &[u8]) -> u64 {
    if let Some(first) = text.first_chunk::<8>() {
        return u64::from_le_bytes(*first);
    }
    // The last bytes overlap the first, and are the same where they do.
    match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            let shift = 8 * (text.len() - 4);
            u64::from(u32::from_le_bytes(*first)) | (u64::from(u32::from_le_bytes(*last)) << shift)
        }
        _ => text.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    }
}

/// Whether two texts are the same. Names are short: most are told by a word each, without a call.
#[inline]
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && prefix(one) == prefix(other) && (one.len() <= 8 || one == other)
}

/// How many bytes come before the first quote, backslash or control character.
fn plain(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // In the lowest byte that has its high bit set here, and in those below it, there is no mistake: borrows go up.
        let special = (zeros(word ^ (ONES * u64::from(b'"')))
            | zeros(word ^ (ONES * u64::from(b'\\')))
            | word.wrapping_sub(ONES * 0x20))
            & !word
            & HIGHS;
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    words.len() * 8 + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The high bit of each byte that is zero, if no byte below it is.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// The character that the escape at the beginning stands for, and how long the escape is.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let character = match text.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(text),
        _ => return None,
    };
    Some((character, 2))
}

/// `\u00e9`, or two of them that make one character together.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let first = unit(text)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    let second = text.get(6..).filter(|rest| rest.starts_with(b"\\u")).and_then(unit)?;
    let surrogates = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let character = char::decode_utf16(surrogates).next()?.ok()?;
    Some((character, 12))
}

/// The number in the `\u` escape at the beginning.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(2..6)?;
    digits.iter().try_fold(0, |number, &digit| Some(number * 16 + char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_is() {
        for length in 0..40 {
            for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                for at in 0..length {
                    let mut text = vec![0x20; length];
                    text[at] = special;
                    text[at + 1..].fill(0xff);
                    assert_eq!(plain(&text), at, "{special} at {at} of {length}");
                    text[..at].fill(0x80);
                    assert_eq!(plain(&text), at, "{special} at {at} of {length}");
                }
            }
            for plain_byte in [0x20, b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                assert_eq!(plain(&vec![plain_byte; length]), length, "{plain_byte:x}");
            }
        }
    }

    #[test]
    fn texts_are_the_same_if_all_their_bytes_are() {
        for length in 0..20_u8 {
            let text: Vec<u8> = (1..=length).collect();
            assert!(same(&text, &text.clone()), "{length}");
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] ^= 0x80;
                assert!(!same(&text, &other), "{at} of {length}");
            }
            assert!(!same(&text, &[&text[..], &[0]].concat()), "{length}");
        }
        assert_eq!(prefix(b"abc"), u64::from_le_bytes(*b"abc\0\0\0\0\0"));
        assert_eq!(prefix(b"abcdefghi"), u64::from_le_bytes(*b"abcdefgh"));
    }

    #[test]
    fn escapes_are_decoded() {
        assert_eq!(decode(br#"a\u00e9\ud83d\ude00\n\/b"#), "aé😀\n/b".as_bytes());
        assert_eq!(decode(b""), b"");
    }
}
