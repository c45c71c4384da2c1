//! `custom_id`s of buttons, selects and forms: `gantry:1:<action>:<id>`.
//!
//! They carry an id and nothing else; what it stands for is in the database. Parsing is strict: one pair of
//! action and id has exactly one text, anything else is refused. Minted by `card`, read by `press` and `form`.

use std::fmt;
use std::str::FromStr;

use gantry_core::id::{BoardId, IncidentId, OperationId, PlanId};
use sha2::{Digest, Sha256};

/// Longest `custom_id` Discord takes (documented: 1 to 100 characters).
pub const CUSTOM_ID_MAX: usize = 100;
/// Start of every `custom_id` of ours; the number is the version of the form.
const PREFIX: &str = "gantry:1:";

/// Id of a screen: a list, a question or a form somebody has open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScreenId(String);

impl ScreenId {
    /// Makes an id from a time and a secret that nobody else has: the interaction's token.
    ///
    /// The same interaction and purpose give the same id, so an interaction delivered twice opens one screen.
    pub fn mint(now_ms: i64, token: &str, purpose: &str) -> Self {
        let digest = Sha256::new().chain_update(token).chain_update([0]).chain_update(purpose);
        let random =
            digest.finalize().iter().take(16).fold(0u128, |n, b| (n << 8) | u128::from(*b));
        let ulid = ulid::Ulid::from_parts(u64::try_from(now_ms).unwrap_or(0), random);
        Self(format!("sc_{ulid}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ScreenId {
    type Err = BadToken;
    fn from_str(text: &str) -> Result<Self, BadToken> {
        let rest = text.strip_prefix("sc_").ok_or(BadToken)?;
        match ulid::Ulid::from_string(rest) {
            Ok(ulid) if ulid.to_string() == rest => Ok(Self(text.to_owned())),
            _ => Err(BadToken),
        }
    }
}

/// A `custom_id` that is not ours, is of another version, or has been tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this button is not one of gantry's, or is from an older gantry")]
pub struct BadToken;

/// What a press asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Carry the plan out.
    Confirm(PlanId),
    /// Drop the plan.
    CancelPlan(PlanId),
    /// Take a changed pod for what it shall be.
    Adopt(PlanId),
    /// Leave a changed pod alone.
    Ignore(PlanId),
    /// The form in which the target's name was typed.
    TypedName(PlanId),
    /// Ask a running operation to stop.
    CancelOp(OperationId),
    /// Keep a change that waits for somebody's word.
    Keep(OperationId),
    /// Put back such a change at once.
    PutBack(OperationId),
    /// Show an operation with its trail.
    ShowOp(OperationId),
    /// Delete what the creation of a pod left behind.
    Clean(OperationId),
    /// Take care of an incident.
    Ack(IncidentId),
    /// Silence what an incident is about, for as long as the menu says.
    Mute(IncidentId),
    /// Say why an incident is told, and why so.
    Why(IncidentId),
    /// Draw what an incident is about.
    Chart(IncidentId),
    /// Do something about an incident.
    Remedy(IncidentId),
    /// Write something about an incident; also the form in which that is done.
    Note(IncidentId),
    /// An incident as a file.
    PostMortem(IncidentId),
    /// Look at a guest of a board.
    BoardPick(BoardId),
    /// All guests of a board.
    BoardGuests(BoardId),
    /// What is wrong, from a board.
    BoardAlerts(BoardId),
    /// A list's first page.
    First(ScreenId),
    /// One page back.
    Back(ScreenId),
    /// One page on.
    Next(ScreenId),
    /// A list's last page.
    Last(ScreenId),
    /// The same again, read anew.
    Refresh(ScreenId),
    /// One of the things a select offers.
    Pick(ScreenId),
    /// Open a form again with what was typed before.
    Edit(ScreenId),
    /// A form that was filled in.
    Form(ScreenId),
}

impl Token {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Confirm(id) => ("confirm", id.as_str()),
            Self::CancelPlan(id) => ("cancel-plan", id.as_str()),
            Self::Adopt(id) => ("adopt", id.as_str()),
            Self::Ignore(id) => ("ignore", id.as_str()),
            Self::TypedName(id) => ("name", id.as_str()),
            Self::CancelOp(id) => ("cancel-op", id.as_str()),
            Self::Keep(id) => ("keep", id.as_str()),
            Self::PutBack(id) => ("put-back", id.as_str()),
            Self::ShowOp(id) => ("show-op", id.as_str()),
            Self::Clean(id) => ("clean", id.as_str()),
            Self::Ack(id) => ("ack", id.as_str()),
            Self::Mute(id) => ("mute", id.as_str()),
            Self::Why(id) => ("why", id.as_str()),
            Self::Chart(id) => ("chart", id.as_str()),
            Self::Remedy(id) => ("remedy", id.as_str()),
            Self::Note(id) => ("note", id.as_str()),
            Self::PostMortem(id) => ("post-mortem", id.as_str()),
            Self::BoardPick(id) => ("board-pick", id.as_str()),
            Self::BoardGuests(id) => ("board-guests", id.as_str()),
            Self::BoardAlerts(id) => ("board-alerts", id.as_str()),
            Self::First(id) => ("first", id.as_str()),
            Self::Back(id) => ("back", id.as_str()),
            Self::Next(id) => ("next", id.as_str()),
            Self::Last(id) => ("last", id.as_str()),
            Self::Refresh(id) => ("refresh", id.as_str()),
            Self::Pick(id) => ("pick", id.as_str()),
            Self::Edit(id) => ("edit", id.as_str()),
            Self::Form(id) => ("form", id.as_str()),
        }
    }

    /// The action's word, for logs.
    pub fn action(&self) -> &'static str {
        self.parts().0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (action, id) = self.parts();
        write!(f, "{PREFIX}{action}:{id}")
    }
}

impl FromStr for Token {
    type Err = BadToken;
    fn from_str(text: &str) -> Result<Self, BadToken> {
        if text.len() > CUSTOM_ID_MAX {
            return Err(BadToken);
        }
        let (action, id) =
            text.strip_prefix(PREFIX).and_then(|r| r.split_once(':')).ok_or(BadToken)?;
        let plan = || id.parse::<PlanId>().map_err(|_| BadToken);
        let operation = || id.parse::<OperationId>().map_err(|_| BadToken);
        let screen = || id.parse::<ScreenId>();
        let incident = || id.parse::<IncidentId>().map_err(|_| BadToken);
        let board = || id.parse::<BoardId>().map_err(|_| BadToken);
        Ok(match action {
            "confirm" => Self::Confirm(plan()?),
            "cancel-plan" => Self::CancelPlan(plan()?),
            "adopt" => Self::Adopt(plan()?),
            "ignore" => Self::Ignore(plan()?),
            "name" => Self::TypedName(plan()?),
            "cancel-op" => Self::CancelOp(operation()?),
            "keep" => Self::Keep(operation()?),
            "put-back" => Self::PutBack(operation()?),
            "show-op" => Self::ShowOp(operation()?),
            "clean" => Self::Clean(operation()?),
            "ack" => Self::Ack(incident()?),
            "mute" => Self::Mute(incident()?),
            "why" => Self::Why(incident()?),
            "chart" => Self::Chart(incident()?),
            "remedy" => Self::Remedy(incident()?),
            "note" => Self::Note(incident()?),
            "post-mortem" => Self::PostMortem(incident()?),
            "board-pick" => Self::BoardPick(board()?),
            "board-guests" => Self::BoardGuests(board()?),
            "board-alerts" => Self::BoardAlerts(board()?),
            "first" => Self::First(screen()?),
            "back" => Self::Back(screen()?),
            "next" => Self::Next(screen()?),
            "last" => Self::Last(screen()?),
            "refresh" => Self::Refresh(screen()?),
            "pick" => Self::Pick(screen()?),
            "edit" => Self::Edit(screen()?),
            "form" => Self::Form(screen()?),
            _ => return Err(BadToken),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_token() -> impl Strategy<Value = Token> {
        (0usize..28, 0i64..(1 << 47), any::<u128>(), ".{0,40}").prop_map(|(n, ms, random, seed)| {
            let plan = PlanId::new(ms, random);
            let op = OperationId::new(ms, random);
            let screen = ScreenId::mint(ms, &seed, "list");
            let incident = IncidentId::new(ms, random);
            match n {
                0 => Token::Confirm(plan),
                1 => Token::CancelPlan(plan),
                2 => Token::TypedName(plan),
                3 => Token::CancelOp(op),
                4 => Token::ShowOp(op),
                5 => Token::First(screen),
                6 => Token::Back(screen),
                7 => Token::Next(screen),
                8 => Token::Last(screen),
                9 => Token::Refresh(screen),
                10 => Token::Pick(screen),
                11 => Token::Edit(screen),
                12 => Token::Adopt(plan),
                13 => Token::Ignore(plan),
                14 => Token::Keep(op),
                15 => Token::PutBack(op),
                16 => Token::Clean(op),
                17 => Token::Ack(incident),
                18 => Token::Mute(incident),
                19 => Token::Why(incident),
                20 => Token::Chart(incident),
                21 => Token::Remedy(incident),
                22 => Token::Note(incident),
                23 => Token::PostMortem(incident),
                24 => Token::BoardPick(BoardId::new(ms, random)),
                25 => Token::BoardGuests(BoardId::new(ms, random)),
                26 => Token::BoardAlerts(BoardId::new(ms, random)),
                _ => Token::Form(screen),
            }
        })
    }

    proptest! {
        #![proptest_config(crate::cases(256))]
        #[test]
        fn what_is_minted_reads_back(token in any_token()) {
            let text = token.to_string();
            prop_assert!(text.len() <= CUSTOM_ID_MAX);
            prop_assert_eq!(text.parse::<Token>(), Ok(token));
        }

        #[test]
        fn a_changed_text_is_refused_or_is_honestly_another_one(
            token in any_token(), at in 0usize..60, with in any::<char>()
        ) {
            let mut letters: Vec<char> = token.to_string().chars().collect();
            let at = at % letters.len();
            letters[at] = with;
            let changed: String = letters.into_iter().collect();
            if let Ok(read) = changed.parse::<Token>() {
                // No text is silently taken for another: what was read prints as what was given.
                prop_assert_eq!(read.to_string(), changed);
            }
        }

        #[test]
        fn noise_is_refused(text in "\\PC{0,120}") {
            prop_assert_eq!(text.parse::<Token>(), Err(BadToken));
        }

        #[test]
        fn bits_flipped_never_change_the_action_alone(token in any_token(), at in 0usize..500) {
            let mut bytes = token.to_string().into_bytes();
            let at = at % (bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
            if let Ok(read) = String::from_utf8(bytes).unwrap_or_default().parse::<Token>() {
                prop_assert_eq!(read.action(), token.action());
                prop_assert_ne!(read, token);
            }
        }
    }

    #[test]
    fn an_action_takes_only_its_own_kind_of_id() {
        let plan = PlanId::new(1_700_000_000_000, 2 << 70 | 0xABCDEF);
        let op = OperationId::new(1_700_000_000_000, 2);
        for bad in [
            String::new(),
            "gantry:1:".into(),
            format!("gantry:1:confirm:{op}"),
            format!("gantry:1:cancel-op:{plan}"),
            format!("gantry:2:confirm:{plan}"),
            format!("gantry:1:confirm:{plan} "),
            format!("gantry:1:confirm:{}", plan.as_str().to_lowercase()),
            format!("gantry:1:Confirm:{plan}"),
            format!("gantry:1:page:{plan}"),
            format!("gantry:1:confirm:{plan}:x"),
            format!("gantry:1:confirm:{plan}{}", "A".repeat(100)),
        ] {
            assert_eq!(bad.parse::<Token>(), Err(BadToken), "{bad}");
        }
    }
}
