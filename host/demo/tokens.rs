//! What the demo upstream counts as a token: up to four characters of a word, with the white space before it.
//! It is near enough to real tokenizers for usage to look right, and needs no vocabulary.

/// Characters of a word in a token.
const CHARACTERS: usize = 4;

/// How many tokens a text has.
pub(super) fn count(text: &str) -> u64 {
    let mut tokens = 0;
    let mut rest = text;
    while !rest.is_empty() {
        rest = &rest[first(rest)..];
        tokens += 1;
    }
    tokens
}

/// Cuts a text after so many tokens, and says whether anything was cut off.
pub(super) fn truncate(text: &mut String, tokens: u64) -> bool {
    let mut end = 0;
    for _ in 0..tokens {
        if end == text.len() {
            return false;
        }
        end += first(&text[end..]);
    }
    let cut = end < text.len();
    text.truncate(end);
    cut
}

/// The tokens of a text, one after the other.
pub(super) struct Tokens {
    text: String,
    position: usize,
}

impl Tokens {
    pub(super) fn of(text: String) -> Self {
        Self { text, position: 0 }
    }

    /// How many are left.
    pub(super) fn remaining(&self) -> u64 {
        count(&self.text[self.position..])
    }
}

impl Iterator for Tokens {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let rest = &self.text[self.position..];
        let size = first(rest);
        self.position += size;
        (size > 0).then(|| rest[..size].to_owned())
    }
}

/// The size of the first token, in bytes; 0 only for no text.
fn first(text: &str) -> usize {
    let word = text.len() - text.trim_start().len();
    let characters = text[word..].chars().take(CHARACTERS).take_while(|character| !character.is_whitespace());
    word + characters.map(char::len_utf8).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = " Grüße, an alle\u{2003}Straßenbahnfahrer \n";

    #[test]
    fn tokens_put_together_are_the_text() {
        assert_eq!(Tokens::of(TEXT.into()).collect::<String>(), TEXT);
        assert_eq!(Tokens::of(TEXT.into()).count() as u64, count(TEXT));
        assert_eq!(Tokens::of("Grüße, an".into()).collect::<Vec<_>>(), ["Grüß", "e,", " an"]);
    }

    #[test]
    fn a_text_is_cut_after_a_token() {
        for limit in 0..=count(TEXT) + 1 {
            let mut text = TEXT.to_owned();
            let cut = truncate(&mut text, limit);
            assert_eq!(count(&text), limit.min(count(TEXT)));
            assert_eq!(cut, text != TEXT);
        }
    }
}
