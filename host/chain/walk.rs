//! The walk of one exchange through the chain, phase by phase. `on-complete` is called when the walk is dropped:
//! however an exchange ends, and wherever, nothing can forget it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Chain, Failed, Fresh, Link};
use crate::error::Error;
use crate::exchange::{Exchange, Stage};
use crate::phase::Phase;
use crate::wasm::{
    Advice, AfterAttempt, Ask, Call, ChunkAction, Ending, OnComplete, OnResponseChunk, Outcome, Verdict,
};

/// For one route: the filters that take part in each phase, in the order in which the phase calls them. A phase that
/// none exports is an empty list, and costs nothing.
#[derive(Debug, Default)]
pub struct Walks {
    request: Vec<usize>,
    request_body: Vec<usize>,
    before_attempt: Vec<usize>,
    after_attempt: Vec<usize>,
    response: Vec<usize>,
    response_chunk: Vec<usize>,
    complete: Vec<usize>,
}

impl Walks {
    /// The walks of a route with these filters of the chain, in chain order.
    pub fn new(chain: &Chain, filters: &[usize]) -> Self {
        let of = |phase: Phase| -> Vec<usize> {
            let takes_part = |index: &&usize| {
                chain.links.get(**index).is_some_and(|l| l.entry.program.phases.contains(&phase))
            };
            filters.iter().filter(takes_part).copied().collect()
        };
        let reversed = |phase| of(phase).into_iter().rev().collect();
        Self {
            request: of(Phase::OnRequest),
            request_body: of(Phase::OnRequestBody),
            before_attempt: of(Phase::BeforeAttempt),
            after_attempt: reversed(Phase::AfterAttempt),
            response: reversed(Phase::OnResponse),
            response_chunk: reversed(Phase::OnResponseChunk),
            complete: of(Phase::OnComplete),
        }
    }

    /// True if a filter asks to see the request's body whole.
    pub fn want_request_body(&self) -> bool {
        !self.request_body.is_empty()
    }

    /// True if a filter may ask for another attempt.
    pub fn want_attempts(&self) -> bool {
        !self.after_attempt.is_empty()
    }

    /// True if a filter sees the response's body as it streams.
    pub fn want_response_chunks(&self) -> bool {
        !self.response_chunk.is_empty()
    }
}

/// What a walk amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Proceed,
    /// Send the exchange's reply.
    Respond,
}

/// What a chunk of a response's body becomes.
#[derive(Debug)]
pub enum Chunk {
    /// These bytes.
    Send(Bytes),
    /// An end, with an error that the client can see.
    Abort(String),
}

/// An exchange on its walk.
#[derive(Debug)]
pub struct Run {
    /// The exchange itself.
    pub exchange: Box<Exchange>,
    /// How it ends; what is said last counts when the walk is dropped.
    pub ending: Ending,
    /// The host's own error that became the answer, if one did.
    pub error: Option<Error>,
    chain: Rc<Chain>,
    walks: Rc<Walks>,
    fresh: Fresh,
    began: bool,
}

impl Run {
    /// An exchange at the beginning of its walk. Until something else is said, it ends by the client's leaving.
    pub fn new(exchange: Box<Exchange>, chain: Rc<Chain>, walks: Rc<Walks>) -> Self {
        let fresh = Fresh::default();
        Self { exchange, ending: Ending::ClientGone, error: None, chain, walks, fresh, began: false }
    }

    /// The route's walks.
    pub fn walks(&self) -> &Walks {
        &self.walks
    }

    /// Answers with an error of the host's.
    pub fn fail(&mut self, error: Error) -> Flow {
        self.error = Some(error);
        self.exchange.reply = Some(error.reply());
        Flow::Respond
    }

    /// The request's head has arrived.
    pub async fn on_request(&mut self) -> Flow {
        self.began = true;
        let walks = self.walks.clone();
        self.ask(&walks.request, Ask::Request).await
    }

    /// The request's body has arrived, and is in the exchange.
    pub async fn on_request_body(&mut self) -> Flow {
        self.exchange.stage = Stage::RequestBody;
        let walks = self.walks.clone();
        let flow = self.ask(&walks.request_body, Ask::RequestBody).await;
        // An upstream may take long, and the tree is many times the size of the text.
        if let Some(body) = &mut self.exchange.body {
            body.forget_json();
        }
        flow
    }

    /// An attempt is about to be made.
    pub async fn before_attempt(&mut self, number: u32) -> Flow {
        self.exchange.stage = Stage::BeforeAttempt;
        let walks = self.walks.clone();
        self.ask(&walks.before_attempt, Ask::BeforeAttempt(number)).await
    }

    /// An attempt has ended. Over the chain, `stop` beats `retry`, and `retry` beats `accept`; the longest delay counts.
    /// None: a filter failed, and the exchange's reply says so.
    pub async fn after_attempt(
        &mut self,
        number: u32,
        outcome: Outcome,
        elapsed: Duration,
    ) -> Option<Advice> {
        self.exchange.stage = Stage::AfterAttempt;
        let (walks, chain) = (self.walks.clone(), self.chain.clone());
        let mut sum = Advice::Accept;
        let mut closed = false;
        for link in links(&chain, &walks.after_attempt) {
            let call = AfterAttempt { number, outcome, elapsed };
            match link.call(&mut self.exchange, &mut self.fresh, call).await {
                Ok(advice) if !link.entry.filter.shadow => sum = stronger(sum, advice),
                Err(Failed::Closed) => closed = true,
                Ok(_) | Err(Failed::Open) => {}
            }
            // There is nothing to answer here; what was begun must not become another filter's answer.
            self.exchange.reply = None;
        }
        if closed {
            self.fail(Error::FilterFailed);
            return None;
        }
        Some(sum)
    }

    /// The response's head has arrived, and is in the exchange.
    pub async fn on_response(&mut self) -> Flow {
        self.exchange.stage = Stage::ResponseHead;
        let walks = self.walks.clone();
        self.ask(&walks.response, Ask::Response).await
    }

    /// A piece of the response's body has arrived; `last`, and no other will. A filter that would have to wait here fails:
    /// the body streams.
    pub fn on_response_chunk(&mut self, mut chunk: Bytes, last: bool) -> Chunk {
        let (walks, chain) = (self.walks.clone(), self.chain.clone());
        for link in links(&chain, &walks.response_chunk) {
            let call = OnResponseChunk { chunk: &chunk, last };
            let answer = link.call_now(&mut self.exchange, &mut self.fresh, call);
            self.exchange.reply = None;
            match answer {
                Ok(_) if link.entry.filter.shadow => {}
                Ok(ChunkAction::Pass) | Err(Failed::Open) => {}
                Ok(ChunkAction::Replace(bytes)) => chunk = bytes.into(),
                Ok(ChunkAction::Abort(why)) => return Chunk::Abort(why),
                Err(Failed::Closed) => return Chunk::Abort("a filter failed".into()),
            }
        }
        Chunk::Send(chunk)
    }

    /// Asks filters for their verdicts, until one responds.
    async fn ask(&mut self, filters: &[usize], ask: Ask) -> Flow {
        let chain = self.chain.clone();
        for link in links(&chain, filters) {
            let answer = link.call(&mut self.exchange, &mut self.fresh, ask).await;
            if answer == Ok(Verdict::Respond) {
                link.counters.rejection(ask.phase());
            }
            match answer {
                Ok(Verdict::Respond) if !link.entry.filter.shadow => return Flow::Respond,
                Ok(Verdict::Respond) => link.would_have_answered(ask.phase(), &mut self.exchange),
                Err(Failed::Closed) => return self.fail(Error::FilterFailed),
                // What it had begun to say does not count.
                Ok(_) | Err(Failed::Open) => self.exchange.reply = None,
            }
        }
        Flow::Proceed
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.began {
            return;
        }
        self.exchange.stage = Stage::Complete;
        let elapsed = Instant::now().saturating_duration_since(self.exchange.started);
        let call = OnComplete { ending: self.ending, elapsed };
        if links(&self.chain, &self.walks.complete).any(|link| link.waits) {
            return self.complete_later(call);
        }
        for link in links(&self.chain, &self.walks.complete) {
            // There is no answer left that a fault could change; it has been logged and counted.
            let _ = link.call_at_once(&mut self.exchange, &mut self.fresh, call);
        }
    }
}

impl Run {
    /// Nobody waits for filters that may wait: a task of its own sees them through.
    fn complete_later(&mut self, call: OnComplete) {
        // Without a runtime the worker is gone, and filters with it.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let mut exchange = std::mem::replace(&mut self.exchange, Box::new(Exchange::vacant()));
        let mut fresh = std::mem::take(&mut self.fresh);
        let (chain, walks) = (self.chain.clone(), self.walks.clone());
        tokio::task::spawn_local(async move {
            for link in links(&chain, &walks.complete) {
                let _ = link.call(&mut exchange, &mut fresh, call).await;
            }
        });
    }
}

fn links<'a>(chain: &'a Chain, filters: &'a [usize]) -> impl Iterator<Item = &'a Link> {
    filters.iter().filter_map(|index| chain.links.get(*index).map(|link| &**link))
}

fn stronger(one: Advice, other: Advice) -> Advice {
    match (one, other) {
        (Advice::Stop, _) | (_, Advice::Stop) => Advice::Stop,
        (Advice::Retry(one), Advice::Retry(other)) => Advice::Retry(one.max(other)),
        (Advice::Retry(delay), Advice::Accept) | (Advice::Accept, Advice::Retry(delay)) => {
            Advice::Retry(delay)
        }
        (Advice::Accept, Advice::Accept) => Advice::Accept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_beats_retry_and_retry_beats_accept() {
        let (accept, stop) = (Advice::Accept, Advice::Stop);
        let retry = Advice::Retry;
        for (one, other, sum) in [
            (accept, accept, accept),
            (accept, retry(5), retry(5)),
            (retry(5), retry(9), retry(9)),
            (retry(5), stop, stop),
            (stop, accept, stop),
        ] {
            assert_eq!(format!("{:?}", stronger(one, other)), format!("{sum:?}"));
            assert_eq!(format!("{:?}", stronger(other, one)), format!("{sum:?}"));
        }
    }
}
