//! Reaching the upstream: one attempt after another, as filters ask and as the host allows. Filters decide; the budget,
//! the deadline, and what can be sent again, are the host's.

mod budget;

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};

use crate::body::RequestBody;
use crate::chain::{Flow, Run};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::headers;
use crate::telemetry::{AttemptOutcome, RetryResult};
use crate::upstream::{Answer, AttemptError, Interim, Outgoing, Upstream};
use crate::wasm::{Advice, Outcome};

pub use budget::RetryBudget;

use budget::Permit;

/// How much of a response that is not wanted is read, so that its connection can be used again, and for how long.
const DISCARD_BYTES: usize = 64 << 10;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Where attempts go, and what bounds them.
#[derive(Debug)]
pub struct Attempts<'a> {
    /// The upstream.
    pub upstream: &'a Upstream,
    /// The request's body.
    pub body: &'a RequestBody,
    /// The retries that all workers have in common.
    pub budget: &'a RetryBudget,
    /// Where interim responses go, if the client knows what they are.
    pub interim: &'a Interim,
}

impl Attempts<'_> {
    /// Makes attempts until one is accepted. None: the exchange's reply is the answer.
    pub async fn run(&self, run: &mut Run) -> Option<Answer> {
        let mut permit = None;
        for number in 1.. {
            if run.before_attempt(number).await == Flow::Respond {
                return None;
            }
            let begun = Instant::now();
            let result = self.attempt(&mut run.exchange, begun).await;
            if let Err(AttemptError::Client(error)) = &result {
                run.fail((*error).into());
                return None;
            }
            let outcome = self.outcome(&run.exchange, &result);
            let advice = run.after_attempt(number, outcome, begun.elapsed()).await?;
            // The last retry is over: what it held of the budget is for others.
            drop(permit.take());
            permit = self.permit(advice, &run.exchange);
            match (&permit, advice) {
                (Some(_), Advice::Retry(delay)) => self.wait(run, result, delay).await,
                _ => return self.accept(run, result),
            }
        }
        None
    }

    /// One attempt. The response's head, if there is one, is put where filters see it.
    async fn attempt(&self, exchange: &mut Exchange, begun: Instant) -> Result<Answer, AttemptError> {
        let deadline = Instant::from_std(exchange.deadline);
        let request = Outgoing { head: &exchange.request, body: self.body, interim: self.interim };
        let (mut head, answer) = self.upstream.send(exchange.client, request, begun, deadline).await?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            // Nobody asked for another protocol: passing this on would leave the client's connection without framing.
            return Err(AttemptError::Reset("it switched protocols without being asked to".into()));
        }
        headers::strip_hop_by_hop(&mut head.headers);
        exchange.response = Some(head);
        Ok(answer)
    }

    fn outcome(&self, exchange: &Exchange, result: &Result<Answer, AttemptError>) -> Outcome {
        let status = exchange.response.as_ref().map_or(0, |response| response.status.as_u16());
        let (outcome, counted) = match result {
            Ok(_) => (Outcome::Status(status), AttemptOutcome::Response),
            Err(AttemptError::ConnectFailed(_)) => (Outcome::ConnectFailed, AttemptOutcome::ConnectFailed),
            Err(AttemptError::TimedOut) => (Outcome::TimedOut, AttemptOutcome::TimedOut),
            Err(AttemptError::Reset(_) | AttemptError::Client(_)) => (Outcome::Reset, AttemptOutcome::Reset),
        };
        self.upstream.counters.attempt(counted);
        outcome
    }

    /// The right to try again, if a filter asks for it and nothing stands against it.
    fn permit(&self, advice: Advice, exchange: &Exchange) -> Option<Permit> {
        let Advice::Retry(delay) = advice else { return None };
        let granted = if !self.body.can_replay() {
            Err(RetryResult::RefusedReplay)
        } else if Duration::from_millis(delay.into()) >= exchange.remaining() {
            Err(RetryResult::RefusedDeadline)
        } else {
            self.budget.permit().ok_or(RetryResult::RefusedBudget)
        };
        let result = *granted.as_ref().err().unwrap_or(&RetryResult::Granted);
        self.upstream.counters.retry(result);
        tracing::debug!(requestId = exchange.id, delay, "retry: {}", result.as_str());
        granted.ok()
    }

    async fn wait(&self, run: &mut Run, result: Result<Answer, AttemptError>, delay: u32) {
        run.exchange.response = None;
        // An upstream that answered before it had the whole request is still being sent to: two attempts would read one
        // body, and the connection could not be used again. It is closed instead.
        if let Some(answer) = result.ok().filter(Answer::has_sent_all) {
            discard(answer);
        }
        sleep(Duration::from_millis(delay.into())).await;
    }

    /// What the last attempt gave goes to the client, good or bad.
    fn accept(&self, run: &mut Run, result: Result<Answer, AttemptError>) -> Option<Answer> {
        let error = match result {
            Ok(answer) => {
                self.body.settle();
                return Some(answer);
            }
            Err(error) => error,
        };
        let exchange = &run.exchange;
        tracing::warn!(
            requestId = exchange.id,
            upstream = self.upstream.name,
            "no response: {}",
            why(&error)
        );
        let past = exchange.remaining().is_zero();
        run.fail(if past && matches!(error, AttemptError::TimedOut) {
            Error::Deadline
        } else {
            (&error).into()
        });
        None
    }
}

fn why(error: &AttemptError) -> String {
    match error {
        AttemptError::ConnectFailed(why) | AttemptError::Reset(why) => why.clone(),
        AttemptError::TimedOut => "it took too long".into(),
        AttemptError::Client(error) => error.to_string(),
    }
}

/// Reads what is left of a response that nobody wants, if that is little and comes soon: so its connection lives on.
fn discard(mut answer: Answer) {
    use http_body_util::BodyExt;
    tokio::task::spawn_local(async move {
        let drained = tokio::time::timeout(DISCARD_TIME, async {
            let mut left = DISCARD_BYTES;
            while let Some(Ok(frame)) = answer.frame().await {
                let length = frame.data_ref().map_or(0, bytes::Bytes::len);
                left = left.checked_sub(length)?;
            }
            Some(())
        });
        // Read to its end, it has given its connection back by itself.
        drop(drained.await);
    });
}
