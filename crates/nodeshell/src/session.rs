//! One command over a connection that stands: send the line, collect what comes, with a deadline and a size limit.

use std::time::Duration;

use gantry_core::id::NodeName;
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use tokio::time::{Instant, timeout_at};

use crate::error::Error;

/// Most bytes a command may say; the largest answer, a full table of forwards, has a tenth of it.
pub(crate) const OUTPUT_MAX: usize = 1024 * 1024;
/// Most characters of a script's words that are passed on to people.
const WORDS_MAX: usize = 300;

/// How far a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// 0 to 100.
    Percent(u8),
    /// In words.
    Note(String),
}

/// Takes progress; called on the task that waits for the command.
pub(crate) type Sink<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// What a command said, progress left out.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The lines that came in whole; progress goes to the sink at once.
struct Lines<'a, 'b> {
    partial: Vec<u8>,
    kept: String,
    sink: &'b mut Sink<'a>,
}

impl Lines<'_, '_> {
    fn take(&mut self, data: &[u8]) {
        for piece in data.split_inclusive(|b| *b == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.line();
            }
        }
    }

    fn line(&mut self) {
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches('\n');
        match text.strip_prefix("progress ") {
            Some(rest) => (self.sink)(match rest.parse::<u8>() {
                Ok(n) if n <= 100 => Progress::Percent(n),
                _ => Progress::Note(plain(rest)),
            }),
            None => {
                self.kept.push_str(text);
                self.kept.push('\n');
            }
        }
    }
}

/// A script's words for people: one line, no control characters, not endless.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect()
}

/// Sends the line and waits for its end. From the moment the line may have left, every break is
/// [`Error::AnswerLost`].
pub(crate) async fn run(
    node: &NodeName,
    mut channel: Channel<Msg>,
    line: &str,
    write: bool,
    deadline: Duration,
    mut sink: Sink<'_>,
) -> Result<Said, Error> {
    let until = Instant::now() + deadline;
    let lost = |why: &str| Error::AnswerLost { node: node.clone(), why: why.to_owned(), write };
    match timeout_at(until, channel.exec(true, line)).await {
        Err(_) => return Err(lost("it took too long")),
        Ok(Err(_)) => return Err(lost("the connection was cut")),
        Ok(Ok(())) => {}
    }
    let mut out = Lines { partial: Vec::new(), kept: String::new(), sink: &mut sink };
    let (mut stderr, mut seen, mut status) = (Vec::new(), 0, None);
    loop {
        let message = match timeout_at(until, channel.wait()).await {
            Err(_) => return Err(lost("it took too long")),
            Ok(None) => break,
            Ok(Some(message)) => message,
        };
        match message {
            ChannelMsg::Failure => {
                let why = "its SSH server runs no commands for this key".to_owned();
                return Err(Error::NotInstalled { node: node.clone(), why });
            }
            ChannelMsg::Data { data } => {
                seen += data.len();
                if seen <= OUTPUT_MAX {
                    out.take(&data);
                }
            }
            ChannelMsg::ExtendedData { data, .. } => {
                seen += data.len();
                if seen <= OUTPUT_MAX {
                    stderr.extend_from_slice(&data);
                }
            }
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            ChannelMsg::ExitSignal { .. } => return Err(lost("the script was killed")),
            ChannelMsg::Close => break,
            _ => {}
        }
        if seen > OUTPUT_MAX {
            return Err(Error::TooLarge { node: node.clone(), limit: OUTPUT_MAX, write });
        }
    }
    let Some(status) = status else { return Err(lost("the connection was cut")) };
    if !out.partial.is_empty() {
        out.line();
    }
    let stdout = out.kept;
    Ok(Said { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

/// Says what the script's exit status means; the list stands at its head.
pub(crate) fn judge(node: &NodeName, said: Said, write: bool) -> Result<String, Error> {
    let node = node.clone();
    let why = {
        let line = said.stderr.lines().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing");
        plain(line.strip_prefix("gantry-node: ").unwrap_or(line))
    };
    Err(match said.status {
        0 => return Ok(said.stdout),
        64 => Error::Refused { node, why },
        65 => Error::Failed { node, why },
        69 => Error::Missing { node, why },
        75 => Error::Locked { node, why },
        76 => Error::Conflict { node, why },
        // What a login shell answers when the forced command is not there or not executable.
        126 | 127 => Error::NotInstalled { node, why },
        _ => Error::Broken { node, why, write },
    })
}
