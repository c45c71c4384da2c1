//! How Proxmox is told of a webhook of gantry's: two objects, a target and a matcher, made with its own `pvesh`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::proxmox::BODY;

/// The commands for a node of the cluster. The secret is asked for there, so that it stands in no history and no log.
/// Values of headers, secrets and body are Base64, as Proxmox wants them.
pub fn proxmox_commands(cluster: &str, name: &str, base: &str) -> String {
    let b64 = |text: &str| BASE64_STANDARD.encode(text);
    let url = format!("{}/hooks/proxmox/{name}", base.trim_end_matches('/'));
    format!(
        r#"# On any node of {cluster}, as root. Paste the webhook's secret when nothing is shown.
read -rs SECRET
pvesh create /cluster/notifications/endpoints/webhook --name gantry --method post \
  --url '{url}' \
  --header 'name=Content-Type,value={content}' \
  --header 'name=Authorization,value={bearer}' \
  --secret "name=token,value=$(printf %s "$SECRET" | base64 -w0)" \
  --body '{body}'
pvesh create /cluster/notifications/matchers --name gantry --target gantry
unset SECRET
# It should answer. A test is mild: it stands in /alert history, and makes no message.
pvesh create /cluster/notifications/targets/gantry/test
# To take it away again:
#   pvesh delete /cluster/notifications/matchers/gantry
#   pvesh delete /cluster/notifications/endpoints/webhook/gantry
"#,
        content = b64("application/json"),
        bearer = b64("Bearer {{ secrets.token }}"),
        body = b64(BODY),
    )
}
