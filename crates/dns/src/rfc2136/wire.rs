//! Signed messages there and back: questions over UDP, again over TCP where the answer does not fit or nobody
//! answers; updates over TCP only, where a refused connection means that nothing was sent.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::{Opcode, Rcode, Rtype, TsigRcode};
use domain::base::{Message, ParsedName};
use domain::rdata::tsig::{Time48, Tsig};
use domain::tsig::{ClientTransaction, ValidationError};
use gantry_core::dns::Name;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

use super::Clock;
use super::message::{Draft, MESSAGE_MAX, TooLong, Update, question};
use crate::Deadlines;
use crate::error::{Error, KeyProblem};

/// Answers taken over UDP: fits every path without fragments (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;
/// How long an answer over UDP is waited for before TCP is tried; a datagram can get lost.
const UDP_PATIENCE: Duration = Duration::from_millis(1500);
/// Datagrams looked at while waiting for one that fits; others can send to the port too.
const DATAGRAMS_MAX: usize = 32;

type Transaction = ClientTransaction<Arc<domain::tsig::Key>>;
type Answer = Message<Vec<u8>>;

/// A server and the key it knows gantry by.
pub(super) struct Wire {
    pub(super) server: String,
    pub(super) key: Arc<domain::tsig::Key>,
    pub(super) key_name: String,
    pub(super) deadlines: Deadlines,
    pub(super) clock: Clock,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("server", &self.server).finish_non_exhaustive()
    }
}

/// What became of one answer.
enum Verdict {
    /// Signed by the server, or an error that needs no signature.
    Answer(Answer),
    /// The server says no to the key.
    No(KeyProblem),
    /// Not an answer to this message, or not by this server.
    Forged(String),
}

impl Wire {
    /// Asks one question.
    pub(super) async fn ask(&self, name: &Name, kind: Rtype) -> Result<Answer, Error> {
        let whole = async {
            let address = self.address().await?;
            let draft = || question(random_id(), name, kind, UDP_PAYLOAD);
            if let Some(answer) = self.over_udp(address, draft().map_err(too_long)?).await?
                && !answer.header().tc()
            {
                return Ok(answer);
            }
            self.over_tcp(address, draft().map_err(too_long)?, false).await
        };
        match timeout(self.deadlines.read, whole).await {
            Ok(result) => result,
            Err(_) => Err(self.lost(silence(self.deadlines.read), false)),
        }
    }

    /// Sends an update once. Never repeats, whatever happens.
    pub(super) async fn update(&self, update: Update, write: bool) -> Result<Answer, Error> {
        let draft = update.draft(random_id()).map_err(too_long)?;
        let address = match timeout(self.deadlines.connect, self.address()).await {
            Ok(address) => address?,
            Err(_) => return Err(self.unreachable("its name could not be looked up in time")),
        };
        self.over_tcp(address, draft, write).await
    }

    async fn address(&self) -> Result<SocketAddr, Error> {
        let found = lookup_host(&self.server).await;
        let mut found = found.map_err(|e| self.unreachable(&e.to_string()))?;
        found.next().ok_or_else(|| self.unreachable("its name has no address"))
    }

    fn sign(&self, mut draft: Draft) -> Result<(Vec<u8>, Transaction), Error> {
        draft.clear_push_limit();
        let transaction = ClientTransaction::request(Arc::clone(&self.key), &mut draft, self.now())
            .map_err(|_| too_long(TooLong))?;
        let bytes = draft.finish().into_target();
        if bytes.len() > MESSAGE_MAX {
            return Err(too_long(TooLong));
        }
        Ok((bytes, transaction))
    }

    fn now(&self) -> Time48 {
        Time48::from_u64((self.clock.0)())
    }

    /// `None`: silence. Refusals by ICMP count as silence too; TCP will tell.
    async fn over_udp(&self, address: SocketAddr, draft: Draft) -> Result<Option<Answer>, Error> {
        let (bytes, transaction) = self.sign(draft)?;
        let local: SocketAddr = match address {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0; 8], 0).into(),
        };
        let unreachable = |e: std::io::Error| self.unreachable(&e.to_string());
        let socket = UdpSocket::bind(local).await.map_err(unreachable)?;
        socket.connect(address).await.map_err(unreachable)?;
        if socket.send(&bytes).await.is_err() {
            return Ok(None);
        }
        let wait = async {
            let mut buffer = vec![0; usize::from(u16::MAX)];
            for _ in 0..DATAGRAMS_MAX {
                let Ok(length) = socket.recv(&mut buffer).await else { return Ok(None) };
                let datagram = buffer.get(..length).unwrap_or_default().to_vec();
                match self.judge(datagram, &bytes, &transaction) {
                    Verdict::Answer(answer) => return Ok(Some(answer)),
                    Verdict::No(problem) => return Err(self.no(problem)),
                    Verdict::Forged(_) => {}
                }
            }
            Ok(None)
        };
        timeout(UDP_PATIENCE, wait).await.unwrap_or(Ok(None))
    }

    async fn over_tcp(
        &self,
        address: SocketAddr,
        draft: Draft,
        write: bool,
    ) -> Result<Answer, Error> {
        let (bytes, transaction) = self.sign(draft)?;
        let mut stream = match timeout(self.deadlines.connect, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => return Err(self.unreachable(&e.to_string())),
            Err(_) => return Err(self.unreachable("connection timed out")),
        };
        let deadline = if write { self.deadlines.write } else { self.deadlines.read };
        let exchange = async {
            // Length and message in one write, so that they travel in one segment (RFC 7766 §8).
            let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            let framed = [&length.to_be_bytes()[..], &bytes].concat();
            stream.write_all(&framed).await?;
            let length = stream.read_u16().await?;
            let mut answer = vec![0; usize::from(length)];
            stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = match timeout(deadline, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(self.lost("connection closed before the answer".to_owned(), write));
            }
            Ok(Err(e)) => return Err(self.lost(e.to_string(), write)),
            Err(_) => return Err(self.lost(silence(deadline), write)),
        };
        match self.judge(answer, &bytes, &transaction) {
            Verdict::Answer(answer) => Ok(answer),
            Verdict::No(problem) => Err(self.no(problem)),
            Verdict::Forged(why) => Err(Error::Decode { server: self.server.clone(), why, write }),
        }
    }

    fn judge(&self, answer: Vec<u8>, request: &[u8], transaction: &Transaction) -> Verdict {
        let forged = |why: &str| Verdict::Forged(why.to_owned());
        let Ok(mut answer) = Message::from_octets(answer) else { return forged("too short") };
        let header = answer.header();
        let asked = request.get(..2).unwrap_or_default();
        if header.id().to_be_bytes() != asked || !header.qr() {
            return forged("it is the answer to something else");
        }
        let key = self.key_name.clone();
        let skew = clock_skew(&answer);
        match transaction.answer(&mut answer, self.now()) {
            Ok(()) => Verdict::Answer(answer),
            Err(ValidationError::ServerBadKey) => Verdict::No(KeyProblem::Unknown { key }),
            Err(ValidationError::ServerBadSig) => Verdict::No(KeyProblem::Secret { key }),
            // Errors may come unsigned, from a server that does not get as far as the signature; success may not.
            Err(ValidationError::ServerUnsigned) => match header.rcode() {
                Rcode::NOERROR | Rcode::NXDOMAIN => Verdict::No(KeyProblem::Unsigned),
                // To an update it is what Knot says of a zone it does not have.
                Rcode::NOTAUTH if header.opcode() != Opcode::UPDATE => {
                    Verdict::No(KeyProblem::Rejected { key })
                }
                _ => Verdict::Answer(answer),
            },
            Err(error) => match skew {
                Some(ahead_s) => Verdict::No(KeyProblem::Clock { ahead_s }),
                None => forged(&error.to_string()),
            },
        }
    }

    fn no(&self, problem: KeyProblem) -> Error {
        Error::Key { server: self.server.clone(), problem }
    }

    fn unreachable(&self, why: &str) -> Error {
        Error::Unreachable { server: self.server.clone(), why: why.to_owned() }
    }

    fn lost(&self, why: String, write: bool) -> Error {
        Error::AnswerLost { server: self.server.clone(), why, write }
    }
}

/// How far the server's clock is ahead, where that is what it says (BADTIME). Read before the signature is checked:
/// BIND 9.18 signs this one answer in a way that cannot be verified. It is an error in any case.
fn clock_skew(answer: &Answer) -> Option<i64> {
    let tsig = answer.get_last_additional::<Tsig<_, ParsedName<_>>>()?;
    let (error, dated) = (tsig.data().error(), tsig.data().time_signed());
    let server = tsig.data().other_time().filter(|_| error == TsigRcode::BADTIME)?;
    let seconds = |t: Time48| i64::try_from(u64::from(t)).unwrap_or(i64::MAX);
    Some(seconds(server).saturating_sub(seconds(dated)))
}

fn silence(deadline: Duration) -> String {
    format!("nothing within {} s", deadline.as_secs())
}

fn too_long(_: TooLong) -> Error {
    let what = "the update of this service".to_owned();
    Error::TooLarge { what, limit: MESSAGE_MAX, write: false }
}

/// A number nobody can guess (RFC 5452). The signature protects the answer in any case.
fn random_id() -> u16 {
    let mut bytes = [0; 2];
    if getrandom::fill(&mut bytes).is_err() {
        tracing::error!("the operating system gave no randomness");
    }
    u16::from_be_bytes(bytes)
}
