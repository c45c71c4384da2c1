//! How Proxmox is told of a webhook of gantry's by hand: the same two objects that `/cluster notify install` makes, with
//! Proxmox's own `pvesh`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gantry_core::notify::{Matcher, SECRET, Target, address, matcher_name, target_name};

/// Stands in the comments of what was made by hand.
const STAMP: &str = "by hand";

/// The commands for a node of the cluster. The secret is asked for there, so that it stands in no history and no log.
/// Values of headers, secrets and body are Base64, as Proxmox wants them.
pub fn proxmox_commands(cluster: &str, hook: &str, base: &str) -> String {
    let b64 = |text: &str| BASE64_STANDARD.encode(text);
    let (name, matcher) = (target_name(hook), matcher_name(hook));
    let target = Target::wanted(hook, &address(base, hook), STAMP);
    let comment = Matcher::wanted(hook, STAMP).comment;
    let headers: String = target
        .headers
        .iter()
        .map(|(k, v)| format!("  --header 'name={k},value={}' \\\n", b64(v)))
        .collect();
    format!(
        r#"# On any node of {cluster}, as root. Paste the webhook's secret when nothing is shown.
read -rs SECRET
pvesh create /cluster/notifications/endpoints/webhook --name {name} --method {method} \
  --url '{url}' --comment '{comment}' \
{headers}  --secret "name={SECRET},value=$(printf %s "$SECRET" | base64 -w0)" \
  --body '{body}'
pvesh create /cluster/notifications/matchers --name {matcher} --target {name} --comment '{comment}'
unset SECRET
# It should answer. A test is mild: it stands in /alert history, and makes no message.
pvesh create /cluster/notifications/targets/{name}/test
# To take it away again:
#   pvesh delete /cluster/notifications/matchers/{matcher}
#   pvesh delete /cluster/notifications/endpoints/webhook/{name}
"#,
        method = target.method,
        url = target.url,
        body = b64(&target.body),
    )
}
