//! What can be asked of a cluster's notifications, and the steps it comes to.

use serde::{Deserialize, Serialize};

use super::{matcher_name, target_name};
use crate::action::Verb;
use crate::id::ClusterId;

/// Something done to a cluster's notifications, with its target resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum NotifyAction {
    /// Have the target and the matcher be what they shall be, and see that a test arrives.
    Install {
        /// In which cluster.
        cluster: ClusterId,
        /// For which hook.
        hook: String,
        /// Where the hook is reached.
        url: String,
        /// Whether the secret is sent although the target looks as it shall.
        resend: bool,
    },
    /// Have Proxmox send a test, and see that it arrives.
    Test {
        /// In which cluster.
        cluster: ClusterId,
        /// For which hook.
        hook: String,
        /// Where the hook is reached.
        url: String,
    },
    /// Take both away.
    Remove {
        /// In which cluster.
        cluster: ClusterId,
        /// For which hook.
        hook: String,
        /// Where the hook is reached.
        url: String,
    },
}

impl NotifyAction {
    /// The cluster, the hook and where it is reached.
    fn parts(&self) -> (&ClusterId, &str, &str) {
        match self {
            Self::Install { cluster, hook, url, .. }
            | Self::Test { cluster, hook, url }
            | Self::Remove { cluster, hook, url } => (cluster, hook, url),
        }
    }

    /// The cluster.
    pub fn cluster(&self) -> &ClusterId {
        self.parts().0
    }

    /// The hook.
    pub fn hook(&self) -> &str {
        self.parts().1
    }

    /// Where the hook is reached.
    pub fn url(&self) -> &str {
        self.parts().2
    }

    /// The verb it is asked with.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Install { .. } => Verb::ClusterNotifyInstall,
            Self::Test { .. } => Verb::ClusterNotifyTest,
            Self::Remove { .. } => Verb::ClusterNotifyRemove,
        }
    }

    /// What it is about, as people read it.
    pub fn shown(&self) -> String {
        format!("the notifications of {} (hook {})", self.cluster(), self.hook())
    }

    /// What two operations must not work on at the same time: `notifications lab`.
    pub fn turn(&self) -> String {
        format!("notifications {}", self.cluster())
    }
}

/// One thing that is done to a cluster's notifications. `before` is the fingerprint of what was there when it was asked
/// for; `None`: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notify", rename_all = "kebab-case")]
pub enum NotifyStep {
    /// Make the notification target what it shall be, its secret included.
    Target {
        /// What was there.
        before: Option<String>,
        /// Stands in its comment afterwards.
        stamp: String,
    },
    /// Make the matcher what it shall be.
    Matcher {
        /// What was there.
        before: Option<String>,
        /// Stands in its comment afterwards.
        stamp: String,
    },
    /// Have Proxmox send a test, and wait until it is heard.
    Test,
    /// Take the matcher away.
    DropMatcher {
        /// What was there.
        before: String,
    },
    /// Take the target away.
    DropTarget {
        /// What was there.
        before: String,
    },
}

impl NotifyStep {
    /// What people read while it runs.
    pub fn doing(&self) -> &'static str {
        match self {
            Self::Target { .. } => "Writing the notification target",
            Self::Matcher { .. } => "Writing the matcher",
            Self::Test => "Having Proxmox send a test",
            Self::DropMatcher { .. } => "Removing the matcher",
            Self::DropTarget { .. } => "Removing the notification target",
        }
    }

    /// A short name for lists and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Target { .. } => "write the notification target",
            Self::Matcher { .. } => "write the matcher",
            Self::Test => "send a test",
            Self::DropMatcher { .. } => "remove the matcher",
            Self::DropTarget { .. } => "remove the notification target",
        }
    }

    /// The words after "Could not".
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Target { .. } => "write the notification target for",
            Self::Matcher { .. } => "write the matcher for",
            Self::Test => "test",
            Self::DropMatcher { .. } => "remove the matcher for",
            Self::DropTarget { .. } => "remove the notification target for",
        }
    }

    /// Whether its call may be sent again once a look has shown that it was not carried out. A test leaves nothing behind
    /// that would show it.
    pub fn is_repeatable(&self) -> bool {
        *self != Self::Test
    }

    /// The name of the object it writes or takes away.
    pub fn object(&self, hook: &str) -> String {
        match self {
            Self::Target { .. } | Self::Test | Self::DropTarget { .. } => target_name(hook),
            Self::Matcher { .. } | Self::DropMatcher { .. } => matcher_name(hook),
        }
    }
}
