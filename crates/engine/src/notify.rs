//! Setting a cluster up to tell gantry what Proxmox itself notices: which hook is meant, and how things stand there.

use gantry_core::action::{Action, Verb};
use gantry_core::id::ClusterId;
use gantry_core::notify::{HOOK_NAME_MAX, NotifyAction, Now};
use gantry_core::policy::{Actor, Ruling, Target};
use secrecy::Secret;

use crate::propose::Answer;
use crate::{Engine, Error};

/// A webhook of Proxmox's that is configured.
#[derive(Debug, Clone)]
pub struct NotifyHook {
    /// The cluster that shall tell.
    pub cluster: ClusterId,
    /// What it is called.
    pub name: String,
    /// Where it is reached: `https://gantry.example.org/hooks/proxmox/pve`; `None`: nobody has said.
    pub url: Option<String>,
    /// Who has it may speak there.
    pub token: Secret<String>,
}

/// What is asked of a cluster's notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyAsk {
    /// One of `cluster.notify.*` that writes.
    pub verb: Verb,
    /// Which cluster.
    pub cluster: ClusterId,
    /// Which hook, where a cluster has several.
    pub hook: Option<String>,
    /// Whether the secret is sent although the target looks as it shall.
    pub resend: bool,
}

/// How a hook stands at its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyState {
    /// The hook.
    pub hook: String,
    /// Where it is reached.
    pub url: String,
    /// What the cluster has.
    pub now: Now,
    /// When something was told through it last, milliseconds; `None`: not lately.
    pub heard_ms: Option<i64>,
}

impl Engine {
    /// The configured hook of that name.
    pub(crate) fn notify_hook(&self, cluster: &ClusterId, hook: &str) -> Option<&NotifyHook> {
        self.inner.settings.notify.iter().find(|h| h.cluster == *cluster && h.name == hook)
    }

    /// The names of a cluster's hooks. Memory only.
    pub fn notify_hooks(&self, cluster: Option<&ClusterId>) -> Vec<String> {
        let all = self.inner.settings.notify.iter();
        all.filter(|h| cluster.is_none_or(|c| h.cluster == *c)).map(|h| h.name.clone()).collect()
    }

    /// The hook somebody means, with where it is reached. The error says what is missing in the configuration.
    fn meant_hook(
        &self,
        cluster: &ClusterId,
        named: Option<&str>,
    ) -> Result<(String, String), String> {
        let names = self.notify_hooks(Some(cluster));
        let hook = match (named, names.as_slice()) {
            (Some(named), _) if names.iter().any(|n| n == named.trim()) => named.trim().to_owned(),
            (Some(named), _) if !names.is_empty() => {
                return Err(format!(
                    "{cluster} has no webhook called {named}; it has {}.",
                    names.join(", ")
                ));
            }
            (None, [only]) => only.clone(),
            (None, [_, ..]) => {
                return Err(format!(
                    "{cluster} has several webhooks: {}. Give the option hook.",
                    names.join(", ")
                ));
            }
            _ => {
                return Err(format!(
                    "No webhook is configured through which {cluster} could tell. In the configuration: [[http.hooks]] with \
                     kind = \"proxmox\", cluster = \"{cluster}\", a name and token_file."
                ));
            }
        };
        if hook.len() > HOOK_NAME_MAX {
            return Err(format!(
                "The webhook's name {hook} is too long: Proxmox takes names of targets only where it has at most {HOOK_NAME_MAX} \
                 characters. Give it another one under [[http.hooks]]."
            ));
        }
        match self.notify_hook(cluster, &hook).and_then(|h| h.url.clone()) {
            Some(url) => Ok((hook, url)),
            None => {
                Err("Where the nodes reach gantry is not configured: set http.public_url, such as \
                         public_url = \"https://gantry.example.org\" under [http]."
                    .to_owned())
            }
        }
    }

    pub(crate) async fn propose_notify(
        &self,
        actor: &Actor,
        ask: NotifyAsk,
    ) -> Result<Answer, Error> {
        let NotifyAsk { verb, cluster, hook, resend } = ask;
        if let Ruling::Denied { because } = self.may(actor, verb, Target::Cluster(&cluster)) {
            let shown = format!("the notifications of {cluster}");
            return self.refuse(actor, verb, &shown, because).await;
        }
        let (hook, url) = match self.meant_hook(&cluster, hook.as_deref()) {
            Ok(meant) => meant,
            Err(why) => return Ok(Answer::Refused { why }),
        };
        let action = match verb {
            Verb::ClusterNotifyInstall => NotifyAction::Install { cluster, hook, url, resend },
            Verb::ClusterNotifyTest => NotifyAction::Test { cluster, hook, url },
            _ => NotifyAction::Remove { cluster, hook, url },
        };
        let (verb, shown) = (action.verb(), action.shown());
        self.propose_action(actor, verb, Action::Notify(action), &shown).await
    }

    /// How the hooks of a cluster stand there, read now; policy is the caller's. The inner error is for people: what the
    /// configuration or the cluster lacks.
    ///
    /// # Errors
    /// What Proxmox or the database says.
    pub async fn notify_states(
        &self,
        cluster: &ClusterId,
    ) -> Result<Result<Vec<NotifyState>, String>, Error> {
        if self.notify_hooks(Some(cluster)).is_empty() {
            return Ok(self.meant_hook(cluster, None).map(|_| Vec::new()));
        }
        let mut all = Vec::new();
        for hook in self.notify_hooks(Some(cluster)) {
            let (hook, url) = match self.meant_hook(cluster, Some(&hook)) {
                Ok(meant) => meant,
                Err(why) => return Ok(Err(why)),
            };
            let Some(now) = self.notify_now(cluster, &hook).await? else {
                return Ok(Err(self.without_webhooks(cluster)));
            };
            let heard = self.store().heard_since(&hook, 0).await;
            let heard = heard.map_err(Error::store("read what webhooks told"))?;
            let heard_ms = heard.first().map(|(at_ms, _)| *at_ms);
            all.push(NotifyState { hook, url, now, heard_ms });
        }
        Ok(Ok(all))
    }

    /// Said of a cluster whose Proxmox VE has no webhook targets.
    pub(crate) fn without_webhooks(&self, cluster: &ClusterId) -> String {
        let version = self.view(cluster).and_then(|v| v.version.clone());
        let version = version.map(|v| format!(" (Proxmox VE {v})")).unwrap_or_default();
        format!(
            "{cluster}{version} cannot send notifications to a webhook: that came with Proxmox VE 8.3. Nothing was changed. Until it \
             is upgraded, gantry goes on watching nodes, guests, storages, tasks, backups and replication itself. What only \
             Proxmox's mails tell reaches gantry through any program that posts to a webhook of kind \"generic\"."
        )
    }
}
