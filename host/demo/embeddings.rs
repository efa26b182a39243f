//! OpenAI's `POST /v1/embeddings`. A text's vector is the sum of its words' places (feature hashing), so that
//! texts that share words are close to each other, as with a real model. Vectors are made one by one as they
//! are sent.

use std::fmt;
use std::iter;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::body::Content;
use super::provider::{Answer, Failure, model, parse};
use super::tokens;

/// The most inputs of a request, as OpenAI has it.
const MAX_INPUTS: usize = 2048;

/// The longest vector, as OpenAI has it.
const MAX_DIMENSIONS: usize = 3072;

const DEFAULT_DIMENSIONS: usize = 256;

#[derive(Deserialize)]
struct EmbeddingsRequest {
    #[serde(deserialize_with = "model")]
    model: String,
    input: Input,
    dimensions: Option<usize>,
    encoding_format: Option<Encoding>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    Base64,
}

/// Answers a request with this body.
///
/// # Errors
/// 400 if it is not such a request, has no input or more than 2048, or asks for less than 1 or more than 3072
/// dimensions.
pub(super) fn embed(body: &[u8]) -> Result<Answer, Failure> {
    let request: EmbeddingsRequest = parse(body)?;
    let texts = request.input.into_texts();
    if texts.is_empty() {
        return Err(Failure::invalid("input must not be empty"));
    }
    let dimensions = request.dimensions.unwrap_or(DEFAULT_DIMENSIONS);
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return Err(Failure::invalid(format!("dimensions must be a number from 1 to {MAX_DIMENSIONS}")));
    }
    let encoding = request.encoding_format.unwrap_or(Encoding::Float);

    let tokens: u64 = texts.iter().map(|text| tokens::count(text)).sum();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    let opening =
        format!(r#"{{"object":"list","model":{},"usage":{usage},"data":["#, Value::from(request.model));
    let middle = 1 + texts.len() as u64 / 2;
    let items = texts.into_iter().enumerate().map(move |(index, text)| {
        let comma = if index == 0 { "" } else { "," };
        let embedding = encode(&vector(&text, dimensions), encoding);
        format!("{comma}{}", json!({"object": "embedding", "index": index, "embedding": embedding}))
    });
    let pieces = iter::once(opening).chain(items).chain(iter::once("]}".into())).map(Bytes::from);
    let content = Content::Pieces { pieces: Box::new(pieces), middle, length: None };
    Ok(Answer::new("application/json", content))
}

/// A text's vector, of length 1.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let [a, b, c, d, sign, ..]: [u8; 32] = Sha256::digest(word.to_lowercase()).into();
        let place = u32::from_le_bytes([a, b, c, d]) as usize % dimensions;
        vector[place] += if sign % 2 == 0 { 1.0 } else { -1.0 };
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    } else {
        vector[0] = 1.0; // no words, or words that cancel out
    }
    vector
}

fn encode(vector: &[f32], encoding: Encoding) -> Value {
    match encoding {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            json!(STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()))
        }
    }
}

/// What is to be embedded: a text, several, a list of token numbers, or several lists.
enum Input {
    Text(String),
    Token(u32),
    List { texts: Vec<String>, tokens: String },
}

impl Input {
    /// Token numbers are embedded as if they were words.
    fn into_texts(self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![text],
            Self::Token(token) => vec![token.to_string()],
            Self::List { texts, tokens } if tokens.is_empty() => texts,
            Self::List { mut texts, tokens } => {
                texts.push(tokens);
                texts
            }
        }
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a list of strings, a list of token numbers, or a list of such lists")
    }

    fn visit_str<E>(self, text: &str) -> Result<Input, E> {
        Ok(Input::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, token: u64) -> Result<Input, E> {
        u32::try_from(token).map(Input::Token).map_err(|_| E::custom("a token number is too large"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut inputs: A) -> Result<Input, A::Error> {
        let mut texts = Vec::new();
        let mut tokens = String::new();
        while let Some(input) = inputs.next_element()? {
            match input {
                Input::Text(text) => texts.push(text),
                Input::Token(token) => tokens.push_str(&format!(" {token}")),
                Input::List { texts: inner, tokens } if inner.is_empty() => texts.push(tokens),
                Input::List { .. } => return Err(A::Error::custom("lists of inputs are nested too deep")),
            }
            if texts.len() > MAX_INPUTS {
                return Err(A::Error::custom(format!("more than {MAX_INPUTS} inputs")));
            }
        }
        if !texts.is_empty() && !tokens.is_empty() {
            return Err(A::Error::custom("inputs are either texts or token numbers"));
        }
        Ok(Input::List { texts, tokens })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(a: &str, b: &str) -> f32 {
        vector(a, 256).iter().zip(vector(b, 256)).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn vectors_have_length_one_and_shared_words_bring_them_close() {
        for text in ["", "?!", "one", "the quick brown fox", "a a a a"] {
            assert!((similarity(text, text) - 1.0).abs() < 1e-5, "{text}");
        }
        let near = similarity("the quick brown fox", "The brown FOX is quick");
        let far = similarity("the quick brown fox", "interest rates rose again");
        assert!(near > 0.7 && far < 0.3, "{near} {far}");
    }

    #[test]
    fn every_form_of_input_is_read_and_others_are_refused() {
        let texts = |json: &str| serde_json::from_str::<Input>(json).map(Input::into_texts).ok();
        let strings = |texts: &[&str]| Some(texts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(texts(r#""a b""#), strings(&["a b"]));
        assert_eq!(texts(r#"["a","b"]"#), strings(&["a", "b"]));
        assert_eq!(texts("[1,22]"), strings(&[" 1 22"]));
        assert_eq!(texts("[[1,22],[3]]"), strings(&[" 1 22", " 3"]));
        for json in ["null", "{}", "-1", "[1.5]", r#"["a",1]"#, r#"[["a"]]"#, "[99999999999]"] {
            assert_eq!(texts(json), None, "{json}");
        }
        let many = format!("[{}\"\"]", "\"\",".repeat(MAX_INPUTS));
        assert_eq!(texts(&many), None);
    }
}
