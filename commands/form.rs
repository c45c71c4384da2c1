//! Forms: the name typed before something irreversible, and what `/pod create` could not ask in options.
//!
//! A form remembers nothing by itself: its id leads to the plan or the screen it belongs to.

use std::sync::Arc;

use gantry_core::id::PlanId;
use gantry_core::pod::{Ipv4, Ipv6, Network, PodSpec, PodTemplate, Problem, quoted};
use gantry_core::policy::Ruling;
use gantry_core::{action::Verb, id::ClusterId};
use gantry_engine::Ask;
use serenity::all::{
    ActionRowComponent, CreateActionRow, CreateInputText, CreateModal, Http, InputTextStyle,
    ModalInteraction,
};

use crate::act;
use crate::card;
use crate::face::{Face, FaceError};
use crate::paint::{INPUT_HINT_MAX, INPUT_LABEL_MAX, INPUT_VALUE_MAX, MODAL_TITLE_MAX, cut, label};
use crate::press;
use crate::screen::{self, PodInputs, View};
use crate::set_form;
use crate::token::{ScreenId, Token};
use crate::visit::{DECIDE_WITHIN, Go, Visit, acknowledged, said};

/// The form in which a target's name is typed.
pub fn name_form(plan: &PlanId, doing: &str, name: &str) -> CreateModal {
    let wanted = format!("Type {name} to {}", doing.to_lowercase());
    let wanted = if wanted.chars().count() + 3 <= INPUT_LABEL_MAX {
        format!("{wanted} it")
    } else {
        "Type its name, letter by letter".to_owned()
    };
    let input = CreateInputText::new(InputTextStyle::Short, label(&wanted, INPUT_LABEL_MAX), NAME)
        .placeholder(cut(&crate::escape::visible(name, false), INPUT_HINT_MAX))
        .required(true)
        .max_length(NAME_MAX);
    CreateModal::new(
        Token::TypedName(plan.clone()).to_string(),
        label(&format!("{doing} {name}"), MODAL_TITLE_MAX),
    )
    .components(vec![CreateActionRow::InputText(input)])
}

/// Names of inputs inside a form.
const NAME: &str = "name";
const ADDRESS: &str = "address";
const VLAN: &str = "vlan";
const TAGS: &str = "tags";
const KEYS: &str = "keys";
const NOTE: &str = "note";
/// Proxmox allows names of 255 characters at most.
const NAME_MAX: u16 = 255;

/// A text field of a form.
pub struct Field<'a> {
    /// What people read over it.
    pub label: &'a str,
    /// Its name inside the form.
    pub id: &'a str,
    /// What was typed before.
    pub value: &'a str,
    /// What stands in it while it is empty.
    pub hint: &'a str,
}

impl Field<'_> {
    fn input(&self, style: InputTextStyle, max: u16) -> CreateActionRow {
        let input = CreateInputText::new(style, self.label, self.id)
            .required(false)
            .placeholder(self.hint)
            .max_length(max);
        CreateActionRow::InputText(match self.value {
            "" => input,
            value => input.value(value),
        })
    }

    /// One line of at most `max` characters.
    pub fn short(&self, max: u16) -> CreateActionRow {
        self.input(InputTextStyle::Short, max)
    }

    /// Several lines of at most `max` characters together.
    pub fn long(&self, max: u16) -> CreateActionRow {
        self.input(InputTextStyle::Paragraph, max)
    }
}

/// The form of a new pod, with what was typed before.
fn pod_form(id: &ScreenId, name: &str, inputs: &PodInputs) -> CreateModal {
    let field = |label, id, value, hint| Field { label, id, value, hint };
    let address = if inputs.address.is_empty() { "dhcp" } else { &inputs.address };
    CreateModal::new(
        Token::Form(id.clone()).to_string(),
        label(&format!("New pod {name}"), MODAL_TITLE_MAX),
    )
    .components(vec![
        field("Address", ADDRESS, address, "dhcp, or 10.0.0.5/24 gw 10.0.0.1").short(120),
        field("VLAN", VLAN, &inputs.vlan, "1 to 4094, or empty").short(10),
        field("Tags and pool", TAGS, &inputs.tags, "web, shop pool:prod").short(400),
        field("SSH keys, one a line", KEYS, &inputs.keys, "ssh-ed25519 AAAA… me@desk")
            .long(INPUT_MAX),
        field("Note", NOTE, &inputs.note, "What it is for").long(1000),
    ])
}

/// Longest text of an input.
pub const INPUT_MAX: u16 = INPUT_VALUE_MAX as u16;

/// `/pod create`: keeps what the options say and opens the form for the rest.
pub async fn open_pod(visit: &Visit, cluster: ClusterId, spec: PodSpec) -> Result<(), FaceError> {
    if let Ruling::Denied { because } = press::may_create(visit) {
        return visit.refuse(Verb::PodCreate, &spec.name, &because).await;
    }
    let id = visit.screen_id("pod");
    let view = View::PodForm { cluster, spec: Box::new(spec), inputs: PodInputs::default() };
    if keep(visit, &id, &view).await? == Go::Stop {
        return Ok(());
    }
    show_form(visit, &id, view).await
}

/// Keeps the row of a form before it is opened. A form is only possible as the first answer: quickly, or not at all.
pub async fn keep(visit: &Visit, id: &ScreenId, view: &View) -> Result<Go, FaceError> {
    let kept = tokio::time::timeout(DECIDE_WITHIN, async {
        if visit.first_sight(true).await? == Go::Stop {
            return Ok(Go::Stop);
        }
        screen::save(visit, id, view).await?;
        Ok::<_, FaceError>(Go::On)
    });
    match kept.await {
        Ok(kept) => kept,
        Err(_) => Err(slow(visit)),
    }
}

fn slow(visit: &Visit) -> FaceError {
    said(
        "Could not open the form",
        "gantry's database was too slow. Nothing was done",
        "Try again.",
        &visit.reference(),
    )
}

async fn show_form(visit: &Visit, id: &ScreenId, view: View) -> Result<(), FaceError> {
    let View::PodForm { spec, inputs, .. } = view else { return Err(slow(visit)) };
    acknowledged(visit.desk.modal(pod_form(id, &spec.name, &inputs)).await).map(drop)
}

/// The button “Edit again”: the same form with what was typed.
pub async fn edit_again(visit: &Visit, id: &ScreenId) -> Result<(), FaceError> {
    match loaded(visit, id).await? {
        View::SetForm { spec, inputs, .. } => set_form::again(visit, id, &spec, &inputs).await,
        view => {
            if let Ruling::Denied { because } = press::may_create(visit) {
                return visit.refuse(Verb::PodCreate, "", &because).await;
            }
            show_form(visit, id, view).await
        }
    }
}

async fn loaded(visit: &Visit, id: &ScreenId) -> Result<View, FaceError> {
    match tokio::time::timeout(DECIDE_WITHIN, screen::load(visit, id)).await {
        Ok(view) => view,
        Err(_) => Err(slow(visit)),
    }
}

/// Serves a form that was sent.
pub async fn submit(face: &Face, http: Arc<Http>, i: &ModalInteraction) {
    let visit = match Visit::of_modal(face, http, i) {
        Ok(visit) => Arc::new(visit),
        Err(desk) => return press::outside(&desk).await,
    };
    let token = i.data.custom_id.parse::<Token>();
    let what = format!("form {}", token.as_ref().map_or("unknown", Token::action));
    let inputs: Vec<(String, String)> = i
        .data
        .components
        .iter()
        .flat_map(|row| &row.components)
        .filter_map(|c| match c {
            ActionRowComponent::InputText(t) => {
                Some((t.custom_id.clone(), t.value.clone().unwrap_or_default()))
            }
            _ => None,
        })
        .collect();
    let on_message = i.message.is_some();
    let work = async {
        match token {
            Ok(Token::TypedName(plan)) => typed(&visit, &plan, &inputs, on_message).await,
            Ok(Token::Form(id)) => filled(&visit, &id, &inputs).await,
            Ok(Token::Note(id)) => crate::incident::noted(&visit, &id, &inputs).await,
            _ => {
                let note = card::note(
                    card::Tone::Bad,
                    "✗ This form does not work",
                    "It is not one of gantry's, or it is from an older version. Nothing was done",
                );
                visit.say(&note).await
            }
        }
    };
    visit.clone().run(&what, work).await;
}

/// What was typed into the field of that name.
pub fn input<'a>(inputs: &'a [(String, String)], id: &str) -> &'a str {
    inputs.iter().find(|(have, _)| have == id).map_or("", |(_, value)| value)
}

/// The typed name: confirmed for whoever typed it.
async fn typed(
    visit: &Visit,
    plan: &PlanId,
    inputs: &[(String, String)],
    on_message: bool,
) -> Result<(), FaceError> {
    let go =
        if on_message { visit.begin_press(true).await? } else { visit.begin(true, true).await? };
    if go == Go::Stop {
        return Ok(());
    }
    press::in_its_place(visit, plan).await?;
    press::carry_out(visit, plan, Some(input(inputs, NAME).trim())).await
}

/// What the options could not ask.
async fn filled(
    visit: &Visit,
    id: &ScreenId,
    inputs: &[(String, String)],
) -> Result<(), FaceError> {
    match loaded(visit, id).await? {
        View::PodForm { cluster, spec, .. } => pod(visit, id, (cluster, spec), inputs).await,
        View::SetForm { cluster, spec, .. } => {
            set_form::sent(visit, id, (cluster, spec), inputs).await
        }
        _ => Err(slow(visit)),
    }
}

/// The rest of a new pod: put together with the options, checked, then planned.
async fn pod(
    visit: &Visit,
    id: &ScreenId,
    (cluster, spec): (ClusterId, Box<PodSpec>),
    inputs: &[(String, String)],
) -> Result<(), FaceError> {
    let typed = PodInputs {
        address: input(inputs, ADDRESS).trim().to_owned(),
        vlan: input(inputs, VLAN).trim().to_owned(),
        tags: input(inputs, TAGS).trim().to_owned(),
        keys: input(inputs, KEYS).trim().to_owned(),
        note: input(inputs, NOTE).trim().to_owned(),
    };
    let (full, mut problems) = fill_in(&spec, &typed);
    problems.extend(full.problems());
    if !problems.is_empty() {
        if visit.begin(true, true).await? == Go::Stop {
            return Ok(());
        }
        let view = View::PodForm { cluster, spec, inputs: typed };
        screen::save(visit, id, &view).await?;
        return visit.say(&card::problems("pod", &full.name, &problems, id)).await;
    }
    let engine = visit.face.engine();
    if let Ruling::Denied { because } =
        engine.may_make(&visit.actor, Verb::PodCreate, &cluster, &full)
    {
        return visit.refuse(Verb::PodCreate, &full.name, &because).await;
    }
    let name = full.name.clone();
    let ask = Ask::Pod { cluster, spec: Box::new(full) };
    act::carry(visit, Verb::PodCreate, &name, None, ask, true).await
}

/// Puts what was typed into the specification; what cannot be read is told, all of it at once.
pub fn fill_in(spec: &PodSpec, typed: &PodInputs) -> (PodSpec, Vec<Problem>) {
    let mut spec = spec.clone();
    let mut problems = Vec::new();
    let template = &mut spec.template;
    let mut wrong = |field: &str, why: String| {
        problems.push(Problem { field: field.to_owned(), why });
    };
    if let Some(card) = template.networks.first_mut() {
        if let Err(why) = address(card, &typed.address) {
            wrong("address", format!("{} cannot be read: {why}", quoted(&typed.address)));
        }
        match typed.vlan.parse::<u16>() {
            Ok(vlan) => card.vlan = Some(vlan),
            Err(_) if typed.vlan.is_empty() => {}
            Err(_) => {
                wrong("vlan", format!("{} is none; 1 to 4094, or empty", quoted(&typed.vlan)));
            }
        }
    }
    tags(template, &typed.tags);
    template.ssh_keys =
        typed.keys.lines().map(str::trim).filter(|k| !k.is_empty()).map(str::to_owned).collect();
    template.note.clone_from(&typed.note);
    (spec, problems)
}

/// Reads tags, labels as `app=web`, and `pool:prod`.
pub fn tags(template: &mut PodTemplate, text: &str) {
    for word in text.split([' ', ',', ';', '\n']).filter(|w| !w.is_empty()) {
        match (word.split_once(':'), word.split_once('=')) {
            (Some(("pool", pool)), _) => template.pool = Some(pool.to_owned()),
            (None, Some((key, value))) => {
                template.labels.insert(key.to_owned(), value.to_owned());
            }
            _ => template.tags.push(word.to_owned()),
        }
    }
    template.tags.dedup();
}

/// Reads `dhcp`, `10.0.0.5/24`, `10.0.0.5/24 gw 10.0.0.1` or the same in IPv6 into a card.
fn address(card: &mut Network, text: &str) -> Result<(), String> {
    const LIKE: &str = "write dhcp, or an address with prefix and gateway: 10.0.0.5/24 gw 10.0.0.1";
    let bad = || LIKE.to_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    let (address, gateway) = match words.as_slice() {
        [] => ("dhcp", None),
        [word] if word.eq_ignore_ascii_case("dhcp") => ("dhcp", None),
        [address] => (*address, None),
        [address, "gw" | "via" | "gateway", gateway] => (*address, Some(*gateway)),
        _ => return Err(bad()),
    };
    if address.contains(':') {
        card.ipv4 = Ipv4::None;
        card.ipv6 = Ipv6::Fixed(address.parse().map_err(|_| bad())?);
        card.gateway6 = gateway.map(str::parse).transpose().map_err(|_| bad())?;
    } else {
        card.ipv4 = address.parse().map_err(|_| bad())?;
        card.gateway4 = gateway.map(str::parse).transpose().map_err(|_| bad())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gantry_core::pod::Root;

    use super::*;

    pub(crate) fn spec() -> PodSpec {
        PodSpec {
            name: "web-1".into(),
            node: Some("pve1".parse().unwrap()),
            template: PodTemplate {
                image: "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst".into(),
                root: Root { storage: Some("local-lvm".parse().unwrap()), size_gib: 8 },
                networks: vec![Network::dhcp("vmbr0")],
                ..PodTemplate::default()
            },
        }
    }

    #[test]
    fn what_is_typed_goes_where_it_belongs() {
        let typed = PodInputs {
            address: "10.0.0.5/24 gw 10.0.0.1".into(),
            vlan: "20".into(),
            tags: "web, shop pool:prod app=web".into(),
            keys: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0123456789abcdef me\n\n".into(),
            note: "the shop".into(),
        };
        let (spec, problems) = fill_in(&spec(), &typed);
        assert_eq!(problems, []);
        let template = &spec.template;
        assert_eq!(template.networks[0].describe(), "vmbr0 VLAN 20, 10.0.0.5/24 via 10.0.0.1");
        assert_eq!(template.tags, ["web", "shop"]);
        assert_eq!(template.labels["app"], "web");
        assert_eq!(template.pool.as_deref(), Some("prod"));
        assert_eq!(template.ssh_keys.len(), 1);
        assert_eq!(template.note, "the shop");
        assert_eq!(spec.problems(), []);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let typed = PodInputs {
            address: "10.0.0.5 mask 255.0.0.0".into(),
            vlan: "twenty".into(),
            tags: "a@b".into(),
            ..PodInputs::default()
        };
        let (spec, mut problems) = fill_in(&spec(), &typed);
        problems.extend(spec.problems());
        let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["address", "vlan", "tags"]);
        let quotes = ["“10.0.0.5 mask 255.0.0.0”", "“twenty”", "“a@b”"];
        for (problem, quoted) in problems.iter().zip(quotes) {
            assert!(problem.why.starts_with(quoted), "{problem:?}");
        }
    }

    #[test]
    fn forms_stay_within_discords_limits() {
        let plan = PlanId::new(1_700_000_000_000, 7);
        for name in ["web-0", "", &"x".repeat(5000), "\u{202e}\u{200b}"] {
            let form = serde_json::to_value(name_form(&plan, "Delete", name)).unwrap();
            let title = form["title"].as_str().unwrap();
            assert!((1..=MODAL_TITLE_MAX).contains(&title.encode_utf16().count()), "{title}");
            let input = &form["components"][0]["components"][0];
            let label = input["label"].as_str().unwrap();
            assert!((1..=INPUT_LABEL_MAX).contains(&label.encode_utf16().count()), "{label}");
        }
        let form = serde_json::to_value(name_form(&plan, "Delete", "web-0")).unwrap();
        assert_eq!(form["components"][0]["components"][0]["label"], "Type web-0 to delete it");
    }
}
