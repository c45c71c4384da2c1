//! The route table: method, path, privileges, where it runs, parameters, handler.
//!
//! Whatever is not here answers 501 with the server's sentence. `tests/contract.rs` compares every row with
//! the official schema.

use super::{
    Route, cluster, config, content, create, disks, firewall, guests, images, lifecycle, network,
    nodes, notifications, people, pools, power, rrd,
};
use super::{sdn, sdn_apply, snapshots, storage, tasks, wear};

macro_rules! routes {
    ($name:ident: $( $method:literal $path:literal [$need:literal] $place:ident $params:literal => $run:path; )*) => {
        const $name: &[Route] = &[ $( Route {
            method: $method, path: $path, need: $need, proxied: routes!(@ $place), params: $params, run: $run,
        } ),* ];
    };
    (@ here) => { false };
    (@ there) => { true };
}

/// Every group of routes.
pub(crate) const ROUTES: &[&[Route]] = &[CLUSTER, NOTIFICATIONS, SDN, NODES, FIREWALL, LXC, QEMU];

routes! { CLUSTER:
    "GET" "/version" [""] here "" => cluster::version;
    "GET" "/cluster/ceph/status" ["Sys.Audit|Datastore.Audit@/"] here "" => wear::ceph;
    "GET" "/cluster/backup-info/not-backed-up" ["Sys.Audit@/"] here "" => wear::uncovered;
    "GET" "/cluster/status" ["Sys.Audit@/"] here "" => cluster::status;
    "GET" "/cluster/resources" [""] here "type str enum=vm|storage|node|sdn" => cluster::resources;
    "GET" "/cluster/nextid" [""] here "vmid int fmt=pve-vmid min=100 max=999999999" => cluster::nextid;
    "GET" "/cluster/tasks" [""] here "" => tasks::cluster;
    "GET" "/cluster/options" [""] here "" => cluster::options;
    "GET" "/cluster/log" [""] here "max int min=1" => cluster::log;
    "GET" "/cluster/backup-info/not-backed-up" ["Sys.Audit@/"] here "" => cluster::not_backed_up;
    "GET" "/cluster/ha/status/current" ["Sys.Audit@/"] here "" => cluster::ha_status;
    "GET" "/pools" [""] here "poolid str fmt=pve-poolid\ntype str enum=qemu|lxc|storage requires=poolid" => pools::list;
    "POST" "/pools" ["Pool.Allocate@/pool/{poolid}"] here "comment str\npoolid! str fmt=pve-poolid" => pools::create;
    "PUT" "/pools" ["Pool.Allocate@/pool/{poolid}"] here "allow-move bool\ncomment str\ndelete bool\npoolid! str fmt=pve-poolid\nstorage str fmt=pve-storage-id-list\nvms str fmt=pve-vmid-list" => pools::update;
    "DELETE" "/pools" ["Pool.Allocate@/pool/{poolid}"] here "poolid! str fmt=pve-poolid" => pools::delete;
    "GET" "/pools/{poolid}" ["Pool.Audit@/pool/{poolid}"] here "poolid! str fmt=pve-poolid\ntype str enum=qemu|lxc|storage" => pools::show;
    "GET" "/storage" [""] here "type str enum=btrfs|cephfs|cifs|dir|esxi|iscsi|iscsidirect|lvm|lvmthin|nfs|pbs|rbd|zfs|zfspool" => storage::definitions;
    "GET" "/access/permissions" [""] here "path str\nuserid str pat=[^\\s:/]+@[A-Za-z][A-Za-z0-9.\\-_]+(?:![A-Za-z][A-Za-z0-9.\\-_]+)?" => people::permissions;
    "GET" "/access/users" [""] here "enabled bool\nfull bool" => people::users;
    "GET" "/access/acl" [""] here "" => people::acl;
    "GET" "/access/users/{userid}/token" [""] here "userid! str fmt=pve-userid maxlen=64" => people::tokens;
    "POST" "/access/users/{userid}/token/{tokenid}" [""] here "comment str\nexpire int min=0\nprivsep bool\ntokenid! str pat=[A-Za-z][A-Za-z0-9.\\-_]+\nuserid! str fmt=pve-userid maxlen=64" => people::new_token;
    "DELETE" "/access/users/{userid}/token/{tokenid}" [""] here "tokenid! str pat=[A-Za-z][A-Za-z0-9.\\-_]+\nuserid! str fmt=pve-userid maxlen=64" => people::drop_token;
    "POST" "/access/ticket" ["world"] here "new-format bool\notp str\npassword! str\npath str maxlen=64 requires=privs\nprivs str fmt=pve-priv-list maxlen=64 requires=path\nrealm str fmt=pve-realm maxlen=32\ntfa-challenge str\nusername! str maxlen=64" => people::login;
}

routes! { NOTIFICATIONS:
    "GET" "/cluster/notifications/targets" ["Mapping.Modify|Mapping.Audit|Mapping.Use@/mapping/notifications"] here "" => notifications::targets;
    "POST" "/cluster/notifications/targets/{name}/test" ["Mapping.Modify|Mapping.Audit|Mapping.Use@/mapping/notifications"] here "name! str fmt=pve-configid" => notifications::test;
    "GET" "/cluster/notifications/endpoints/webhook" ["Mapping.Audit@/mapping/notifications"] here "" => notifications::webhooks;
    "POST" "/cluster/notifications/endpoints/webhook" ["Mapping.Modify@/mapping/notifications"] here "body str\ncomment str\ndisable bool\nheader list\nmethod! str enum=post|put|get\nname! str fmt=pve-configid\nsecret list\nurl! str" => notifications::create_webhook;
    "GET" "/cluster/notifications/endpoints/webhook/{name}" ["Mapping.Modify|Mapping.Audit@/mapping/notifications"] here "name! str fmt=pve-configid" => notifications::webhook;
    "PUT" "/cluster/notifications/endpoints/webhook/{name}" ["Mapping.Modify@/mapping/notifications"] here "body str\ncomment str\ndelete list\ndigest str maxlen=64\ndisable bool\nheader list\nmethod str enum=post|put|get\nname! str fmt=pve-configid\nsecret list\nurl str" => notifications::update_webhook;
    "DELETE" "/cluster/notifications/endpoints/webhook/{name}" ["Mapping.Modify@/mapping/notifications"] here "name! str fmt=pve-configid" => notifications::delete_webhook;
    "GET" "/cluster/notifications/matchers" ["Mapping.Modify|Mapping.Audit|Mapping.Use@/mapping/notifications"] here "" => notifications::matchers;
    "POST" "/cluster/notifications/matchers" ["Mapping.Modify@/mapping/notifications"] here "comment str\ndisable bool\ninvert-match bool\nmatch-calendar list\nmatch-field list\nmatch-severity list\nmode str enum=all|any\nname! str fmt=pve-configid\ntarget list" => notifications::create_matcher;
    "GET" "/cluster/notifications/matchers/{name}" ["Mapping.Modify|Mapping.Audit@/mapping/notifications"] here "name! str fmt=pve-configid" => notifications::matcher;
    "PUT" "/cluster/notifications/matchers/{name}" ["Mapping.Modify@/mapping/notifications"] here "comment str\ndelete list\ndigest str maxlen=64\ndisable bool\ninvert-match bool\nmatch-calendar list\nmatch-field list\nmatch-severity list\nmode str enum=all|any\nname! str fmt=pve-configid\ntarget list" => notifications::update_matcher;
    "DELETE" "/cluster/notifications/matchers/{name}" ["Mapping.Modify@/mapping/notifications"] here "name! str fmt=pve-configid" => notifications::delete_matcher;
}

routes! { SDN:
    "GET" "/cluster/sdn" ["SDN.Audit@/sdn"] here "" => sdn::index;
    "PUT" "/cluster/sdn" ["SDN.Allocate@/sdn"] here "lock-token str\nrelease-lock bool" => sdn_apply::apply;
    "GET" "/cluster/sdn/dry-run" ["Sys.Audit@/nodes/{node}"] there "@node" => sdn_apply::dry_run;
    "POST" "/cluster/sdn/lock" ["SDN.Allocate@/sdn"] here "allow-pending bool" => sdn_apply::lock;
    "DELETE" "/cluster/sdn/lock" ["SDN.Allocate@/sdn"] here "force bool\nlock-token str" => sdn_apply::unlock;
    "POST" "/cluster/sdn/rollback" ["SDN.Allocate@/sdn"] here "lock-token str\nrelease-lock bool" => sdn_apply::rollback;
    "GET" "/cluster/sdn/zones" [""] here "pending bool\nrunning bool\ntype str enum=evpn|faucet|qinq|simple|vlan|vxlan" => sdn::zones;
    "POST" "/cluster/sdn/zones" ["SDN.Allocate@/sdn/zones"] here "advertise-subnets bool\nbridge str\nbridge-disable-mac-learning bool\ncontroller str\ndhcp str enum=dnsmasq\ndisable-arp-nd-suppression bool\ndns str\ndnszone str fmt=dns-name\ndp-id int\nexitnodes str fmt=pve-node-list\nexitnodes-local-routing bool\nexitnodes-primary str fmt=pve-node\nfabric str fmt=pve-sdn-fabric-id\nipam str\nlock-token str\nmac str fmt=mac-addr\nmtu int\nnodes str fmt=pve-node-list\npeers str fmt=ip-list\nreversedns str\nrt-import str fmt=pve-sdn-bgp-rt-list\ntag int min=0\ntype! str fmt=pve-configid enum=evpn|faucet|qinq|simple|vlan|vxlan\nvlan-protocol str enum=802.1q|802.1ad\nvrf-vxlan int min=1 max=16777215\nvxlan-port int min=1 max=65536\nzone! str fmt=pve-sdn-zone-id" => sdn::create_zone;
    "GET" "/cluster/sdn/zones/{zone}" ["SDN.Allocate@/sdn/zones/{zone}"] here "pending bool\nrunning bool\nzone! str fmt=pve-sdn-zone-id" => sdn::zone;
    "PUT" "/cluster/sdn/zones/{zone}" ["SDN.Allocate@/sdn/zones/{zone}"] here "advertise-subnets bool\nbridge str\nbridge-disable-mac-learning bool\ncontroller str\ndelete str fmt=pve-configid-list maxlen=4096\ndhcp str enum=dnsmasq\ndigest str maxlen=64\ndisable-arp-nd-suppression bool\ndns str\ndnszone str fmt=dns-name\ndp-id int\nexitnodes str fmt=pve-node-list\nexitnodes-local-routing bool\nexitnodes-primary str fmt=pve-node\nfabric str fmt=pve-sdn-fabric-id\nipam str\nlock-token str\nmac str fmt=mac-addr\nmtu int\nnodes str fmt=pve-node-list\npeers str fmt=ip-list\nreversedns str\nrt-import str fmt=pve-sdn-bgp-rt-list\ntag int min=0\nvlan-protocol str enum=802.1q|802.1ad\nvrf-vxlan int min=1 max=16777215\nvxlan-port int min=1 max=65536\nzone! str fmt=pve-sdn-zone-id" => sdn::update_zone;
    "DELETE" "/cluster/sdn/zones/{zone}" ["SDN.Allocate@/sdn/zones/{zone}"] here "lock-token str\nzone! str fmt=pve-sdn-zone-id" => sdn::delete_zone;
    "GET" "/cluster/sdn/vnets" [""] here "pending bool\nrunning bool" => sdn::vnets;
    "POST" "/cluster/sdn/vnets" ["SDN.Allocate@/sdn/zones/{zone}"] here "alias str maxlen=256 pat=(?i-u:[\\(\\)-_.\\w\\d\\s]{0,256})\nisolate-ports bool\nlock-token str\ntag int min=1 max=16777215\ntype str enum=vnet\nvlanaware bool\nvnet! str fmt=pve-sdn-vnet-id\nzone! str" => sdn::create_vnet;
    "GET" "/cluster/sdn/vnets/{vnet}" [""] here "pending bool\nrunning bool\nvnet! str fmt=pve-sdn-vnet-id" => sdn::vnet;
    "PUT" "/cluster/sdn/vnets/{vnet}" [""] here "alias str maxlen=256 pat=(?i-u:[\\(\\)-_.\\w\\d\\s]{0,256})\ndelete str fmt=pve-configid-list maxlen=4096\ndigest str maxlen=64\nisolate-ports bool\nlock-token str\ntag int min=1 max=16777215\nvlanaware bool\nvnet! str fmt=pve-sdn-vnet-id\nzone str" => sdn::update_vnet;
    "DELETE" "/cluster/sdn/vnets/{vnet}" [""] here "lock-token str\nvnet! str fmt=pve-sdn-vnet-id" => sdn::delete_vnet;
    "GET" "/cluster/sdn/vnets/{vnet}/subnets" [""] here "pending bool\nrunning bool\nvnet! str fmt=pve-sdn-vnet-id" => sdn::subnets;
    "POST" "/cluster/sdn/vnets/{vnet}/subnets" [""] here "dhcp-dns-server str fmt=ip\ndhcp-range list\ndnszoneprefix str fmt=dns-name\ngateway str fmt=ip\nlock-token str\nsnat bool\nsubnet! str fmt=pve-sdn-subnet-id\ntype! str enum=subnet\nvnet! str" => sdn::create_subnet;
    "GET" "/cluster/sdn/vnets/{vnet}/subnets/{subnet}" [""] here "pending bool\nrunning bool\nsubnet! str fmt=pve-sdn-subnet-id\nvnet! str fmt=pve-sdn-vnet-id" => sdn::subnet;
    "PUT" "/cluster/sdn/vnets/{vnet}/subnets/{subnet}" [""] here "delete str fmt=pve-configid-list maxlen=4096\ndhcp-dns-server str fmt=ip\ndhcp-range list\ndigest str maxlen=64\ndnszoneprefix str fmt=dns-name\ngateway str fmt=ip\nlock-token str\nsnat bool\nsubnet! str fmt=pve-sdn-subnet-id\nvnet str" => sdn::update_subnet;
    "DELETE" "/cluster/sdn/vnets/{vnet}/subnets/{subnet}" [""] here "lock-token str\nsubnet! str fmt=pve-sdn-subnet-id\nvnet! str fmt=pve-sdn-vnet-id" => sdn::delete_subnet;
    "POST" "/cluster/sdn/vnets/{vnet}/ips" ["SDN.Allocate@/sdn/zones/{zone}/{vnet}"] here "ip! str fmt=ip\nmac str fmt=mac-addr\nvnet! str fmt=pve-sdn-vnet-id\nzone! str fmt=pve-sdn-zone-id" => sdn_apply::add_address;
    "PUT" "/cluster/sdn/vnets/{vnet}/ips" ["SDN.Allocate@/sdn/zones/{zone}/{vnet}"] here "ip! str fmt=ip\nmac str fmt=mac-addr\nvmid int fmt=pve-vmid min=100 max=999999999\nvnet! str fmt=pve-sdn-vnet-id\nzone! str fmt=pve-sdn-zone-id" => sdn_apply::move_address;
    "DELETE" "/cluster/sdn/vnets/{vnet}/ips" ["SDN.Allocate@/sdn/zones/{zone}/{vnet}"] here "ip! str fmt=ip\nmac str fmt=mac-addr\nvnet! str fmt=pve-sdn-vnet-id\nzone! str fmt=pve-sdn-zone-id" => sdn_apply::drop_address;
    "GET" "/cluster/sdn/ipams" [""] here "type str enum=netbox|phpipam|pve" => sdn_apply::ipams;
    "GET" "/cluster/sdn/ipams/{ipam}" ["SDN.Allocate@/sdn/ipams/{ipam}"] here "ipam! str fmt=pve-sdn-ipam-id" => sdn_apply::ipam;
    "GET" "/cluster/sdn/ipams/{ipam}/status" [""] here "ipam! str fmt=pve-sdn-ipam-id" => sdn_apply::addresses;
    "GET" "/cluster/sdn/dns" [""] here "type str enum=powerdns" => sdn_apply::dns_plugins;
    "POST" "/cluster/sdn/dns" ["SDN.Allocate@/sdn/dns"] here "dns! str fmt=pve-sdn-dns-id\nfingerprint str pat=([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2}\nkey! str\nlock-token str\nreversemaskv6 int\nreversev6mask int\nttl int\ntype! str fmt=pve-configid enum=powerdns\nurl! str" => sdn_apply::create_dns;
    "GET" "/cluster/sdn/dns/{dns}" ["SDN.Allocate@/sdn/dns/{dns}"] here "dns! str fmt=pve-sdn-dns-id" => sdn_apply::dns_plugin;
    "PUT" "/cluster/sdn/dns/{dns}" ["SDN.Allocate@/sdn/dns"] here "delete str fmt=pve-configid-list maxlen=4096\ndigest str maxlen=64\ndns! str fmt=pve-sdn-dns-id\nfingerprint str pat=([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2}\nkey str\nlock-token str\nreversemaskv6 int\nttl int\nurl str" => sdn_apply::update_dns;
    "DELETE" "/cluster/sdn/dns/{dns}" ["SDN.Allocate@/sdn/dns"] here "dns! str fmt=pve-sdn-dns-id\nlock-token str" => sdn_apply::delete_dns;
    "GET" "/nodes/{node}/sdn/zones" [""] there "@node" => sdn_apply::node_zones;
    "GET" "/nodes/{node}/sdn/zones/{zone}/content" ["SDN.Audit@/sdn/zones/{zone}"] there "@node\nzone! str fmt=pve-sdn-zone-id" => sdn_apply::node_zone_content;
}

routes! { FIREWALL:
    "GET" "/cluster/firewall/options" ["Sys.Audit@/"] here "" => firewall::options;
    "PUT" "/cluster/firewall/options" ["Sys.Modify@/"] here "delete str fmt=pve-configid-list\ndigest str maxlen=64\nebtables bool\nenable int min=0\nlog_ratelimit str prop=fw-log-ratelimit\npolicy_forward str enum=ACCEPT|DROP\npolicy_in str enum=ACCEPT|REJECT|DROP\npolicy_out str enum=ACCEPT|REJECT|DROP" => firewall::set_options;
    "GET" "/cluster/firewall/rules" ["Sys.Audit@/"] here "" => firewall::rules;
    "POST" "/cluster/firewall/rules" ["Sys.Modify@/"] here "@fw-rule\naction! str minlen=2 maxlen=20 pat=[A-Za-z][A-Za-z0-9\\-\\_]+\ndigest str maxlen=64\npos int min=0\ntype! str enum=in|out|forward|group" => firewall::create_rule;
    "GET" "/cluster/firewall/rules/{pos}" ["Sys.Audit@/"] here "pos int min=0" => firewall::rule;
    "PUT" "/cluster/firewall/rules/{pos}" ["Sys.Modify@/"] here "@fw-rule\naction str minlen=2 maxlen=20 pat=[A-Za-z][A-Za-z0-9\\-\\_]+\ndelete str fmt=pve-configid-list\ndigest str maxlen=64\nmoveto int min=0\npos int min=0\ntype str enum=in|out|forward|group" => firewall::update_rule;
    "DELETE" "/cluster/firewall/rules/{pos}" ["Sys.Modify@/"] here "digest str maxlen=64\npos int min=0" => firewall::delete_rule;
    "GET" "/nodes/{node}/firewall/options" ["Sys.Audit@/nodes/{node}"] there "@node" => firewall::options;
    "PUT" "/nodes/{node}/firewall/options" ["Sys.Modify@/nodes/{node}"] there "@node\ndelete str fmt=pve-configid-list\ndigest str maxlen=64\nenable bool\nlog_level_forward str enum=emerg|alert|crit|err|warning|notice|info|debug|nolog\nlog_level_in str enum=emerg|alert|crit|err|warning|notice|info|debug|nolog\nlog_level_out str enum=emerg|alert|crit|err|warning|notice|info|debug|nolog\nlog_nf_conntrack bool\nndp bool\nnf_conntrack_allow_invalid bool\nnf_conntrack_helpers str fmt=pve-fw-conntrack-helper\nnf_conntrack_max int min=32768\nnf_conntrack_tcp_timeout_established int min=7875\nnf_conntrack_tcp_timeout_syn_recv int min=30 max=60\nnftables bool\nnosmurfs bool\nprotection_synflood bool\nprotection_synflood_burst int\nprotection_synflood_rate int\nsmurf_log_level str enum=emerg|alert|crit|err|warning|notice|info|debug|nolog\ntcp_flags_log_level str enum=emerg|alert|crit|err|warning|notice|info|debug|nolog\ntcpflags bool" => firewall::set_options;
    "GET" "/nodes/{node}/firewall/rules" ["Sys.Audit@/nodes/{node}"] there "@node" => firewall::rules;
    "POST" "/nodes/{node}/firewall/rules" ["Sys.Modify@/nodes/{node}"] there "@node\n@fw-rule\naction! str minlen=2 maxlen=20 pat=[A-Za-z][A-Za-z0-9\\-\\_]+\ndigest str maxlen=64\npos int min=0\ntype! str enum=in|out|forward|group" => firewall::create_rule;
    "GET" "/nodes/{node}/firewall/rules/{pos}" ["Sys.Audit@/nodes/{node}"] there "@node\npos int min=0" => firewall::rule;
    "PUT" "/nodes/{node}/firewall/rules/{pos}" ["Sys.Modify@/nodes/{node}"] there "@node\n@fw-rule\naction str minlen=2 maxlen=20 pat=[A-Za-z][A-Za-z0-9\\-\\_]+\ndelete str fmt=pve-configid-list\ndigest str maxlen=64\nmoveto int min=0\npos int min=0\ntype str enum=in|out|forward|group" => firewall::update_rule;
    "DELETE" "/nodes/{node}/firewall/rules/{pos}" ["Sys.Modify@/nodes/{node}"] there "@node\ndigest str maxlen=64\npos int min=0" => firewall::delete_rule;
    "GET" "/nodes/{node}/lxc/{vmid}/firewall/options" ["VM.Audit@/vms/{vmid}"] there "@guest" => firewall::options;
    "PUT" "/nodes/{node}/lxc/{vmid}/firewall/options" ["VM.Config.Network@/vms/{vmid}"] there "@guest\ndelete str fmt=pve-configid-list\ndhcp bool\ndigest str maxlen=64\nenable bool\nipfilter bool\nlog_level_in str enum=emerg|alert|crit|err|warning|notice|info|debug|nolog\nlog_level_out str enum=emerg|alert|crit|err|warning|notice|info|debug|nolog\nmacfilter bool\nndp bool\npolicy_in str enum=ACCEPT|REJECT|DROP\npolicy_out str enum=ACCEPT|REJECT|DROP\nradv bool" => firewall::set_options;
    "GET" "/nodes/{node}/lxc/{vmid}/firewall/rules" ["VM.Audit@/vms/{vmid}"] here "@guest" => firewall::rules;
    "POST" "/nodes/{node}/lxc/{vmid}/firewall/rules" ["VM.Config.Network@/vms/{vmid}"] here "@guest\n@fw-rule\naction! str minlen=2 maxlen=20 pat=[A-Za-z][A-Za-z0-9\\-\\_]+\ndigest str maxlen=64\npos int min=0\ntype! str enum=in|out|forward|group" => firewall::create_rule;
    "GET" "/nodes/{node}/lxc/{vmid}/firewall/rules/{pos}" ["VM.Audit@/vms/{vmid}"] here "@guest\npos int min=0" => firewall::rule;
    "PUT" "/nodes/{node}/lxc/{vmid}/firewall/rules/{pos}" ["VM.Config.Network@/vms/{vmid}"] here "@guest\n@fw-rule\naction str minlen=2 maxlen=20 pat=[A-Za-z][A-Za-z0-9\\-\\_]+\ndelete str fmt=pve-configid-list\ndigest str maxlen=64\nmoveto int min=0\npos int min=0\ntype str enum=in|out|forward|group" => firewall::update_rule;
    "DELETE" "/nodes/{node}/lxc/{vmid}/firewall/rules/{pos}" ["VM.Config.Network@/vms/{vmid}"] here "@guest\ndigest str maxlen=64\npos int min=0" => firewall::delete_rule;
    "GET" "/nodes/{node}/qemu/{vmid}/firewall/options" ["VM.Audit@/vms/{vmid}"] there "@guest" => firewall::options;
    "PUT" "/nodes/{node}/qemu/{vmid}/firewall/options" ["VM.Config.Network@/vms/{vmid}"] there "@guest\ndelete str fmt=pve-configid-list\ndhcp bool\ndigest str maxlen=64\nenable bool\nipfilter bool\nlog_level_in str enum=emerg|alert|crit|err|warning|notice|info|debug|nolog\nlog_level_out str enum=emerg|alert|crit|err|warning|notice|info|debug|nolog\nmacfilter bool\nndp bool\npolicy_in str enum=ACCEPT|REJECT|DROP\npolicy_out str enum=ACCEPT|REJECT|DROP\nradv bool" => firewall::set_options;
    "GET" "/nodes/{node}/qemu/{vmid}/firewall/rules" ["VM.Audit@/vms/{vmid}"] here "@guest" => firewall::rules;
    "POST" "/nodes/{node}/qemu/{vmid}/firewall/rules" ["VM.Config.Network@/vms/{vmid}"] here "@guest\n@fw-rule\naction! str minlen=2 maxlen=20 pat=[A-Za-z][A-Za-z0-9\\-\\_]+\ndigest str maxlen=64\npos int min=0\ntype! str enum=in|out|forward|group" => firewall::create_rule;
    "GET" "/nodes/{node}/qemu/{vmid}/firewall/rules/{pos}" ["VM.Audit@/vms/{vmid}"] here "@guest\npos int min=0" => firewall::rule;
    "PUT" "/nodes/{node}/qemu/{vmid}/firewall/rules/{pos}" ["VM.Config.Network@/vms/{vmid}"] here "@guest\n@fw-rule\naction str minlen=2 maxlen=20 pat=[A-Za-z][A-Za-z0-9\\-\\_]+\ndelete str fmt=pve-configid-list\ndigest str maxlen=64\nmoveto int min=0\npos int min=0\ntype str enum=in|out|forward|group" => firewall::update_rule;
    "DELETE" "/nodes/{node}/qemu/{vmid}/firewall/rules/{pos}" ["VM.Config.Network@/vms/{vmid}"] here "@guest\ndigest str maxlen=64\npos int min=0" => firewall::delete_rule;
    "GET" "/cluster/firewall/aliases" ["Sys.Audit@/"] here "" => firewall::aliases;
    "POST" "/cluster/firewall/aliases" ["Sys.Modify@/"] here "cidr! str fmt=IPorCIDR\ncomment str\nname! str minlen=2 maxlen=64 pat=[A-Za-z][A-Za-z0-9\\-\\_]+" => firewall::create_alias;
    "GET" "/cluster/firewall/aliases/{name}" ["Sys.Audit@/"] here "name! str minlen=2 maxlen=64 pat=[A-Za-z][A-Za-z0-9\\-\\_]+" => firewall::alias;
    "PUT" "/cluster/firewall/aliases/{name}" ["Sys.Modify@/"] here "cidr! str fmt=IPorCIDR\ncomment str\ndigest str maxlen=64\nname! str minlen=2 maxlen=64 pat=[A-Za-z][A-Za-z0-9\\-\\_]+\nrename str minlen=2 maxlen=64 pat=[A-Za-z][A-Za-z0-9\\-\\_]+" => firewall::update_alias;
    "DELETE" "/cluster/firewall/aliases/{name}" ["Sys.Modify@/"] here "digest str maxlen=64\nname! str minlen=2 maxlen=64 pat=[A-Za-z][A-Za-z0-9\\-\\_]+" => firewall::delete_alias;
    "GET" "/cluster/firewall/ipset" ["Sys.Audit@/"] here "" => firewall::sets;
    "POST" "/cluster/firewall/ipset" ["Sys.Modify@/"] here "comment str\ndigest str maxlen=64\nname! str minlen=2 maxlen=64 pat=[A-Za-z][A-Za-z0-9\\-\\_]+\nrename str minlen=2 maxlen=64 pat=[A-Za-z][A-Za-z0-9\\-\\_]+" => firewall::create_set;
    "GET" "/cluster/firewall/ipset/{name}" ["Sys.Audit@/"] here "name! str minlen=2 maxlen=64 pat=[A-Za-z][A-Za-z0-9\\-\\_]+" => firewall::members;
    "POST" "/cluster/firewall/ipset/{name}" ["Sys.Modify@/"] here "cidr! str fmt=IPorCIDRorAlias\ncomment str\nname! str minlen=2 maxlen=64 pat=[A-Za-z][A-Za-z0-9\\-\\_]+\nnomatch bool" => firewall::add_member;
    "DELETE" "/cluster/firewall/ipset/{name}" ["Sys.Modify@/"] here "force bool\nname! str minlen=2 maxlen=64 pat=[A-Za-z][A-Za-z0-9\\-\\_]+" => firewall::delete_set;
    "DELETE" "/cluster/firewall/ipset/{name}/{cidr}" ["Sys.Modify@/"] here "cidr! str fmt=IPorCIDRorAlias\ndigest str maxlen=64\nname! str minlen=2 maxlen=64 pat=[A-Za-z][A-Za-z0-9\\-\\_]+" => firewall::drop_member;
}

routes! { NODES:
    "GET" "/nodes" [""] here "" => nodes::list;
    "GET" "/nodes/{node}/version" [""] there "@node" => cluster::version;
    "GET" "/nodes/{node}/status" ["Sys.Audit@/nodes/{node}"] there "@node" => nodes::status;
    "GET" "/nodes/{node}/replication" [""] there "@node\nguest int fmt=pve-vmid min=100 max=999999999" => wear::replications;
    "GET" "/nodes/{node}/certificates/info" [""] there "@node" => wear::certificates;
    "GET" "/nodes/{node}/disks/list" ["Sys.Audit@/nodes/{node}"] there "@node\ninclude-partitions bool\nskipsmart bool\ntype str enum=unused|journal_disks" => wear::disks;
    "GET" "/nodes/{node}/disks/zfs" ["Sys.Audit@/"] there "@node" => wear::pools;
    "GET" "/nodes/{node}/rrddata" ["Sys.Audit@/nodes/{node}"] here "@node\ncf str enum=AVERAGE|MAX\ntimeframe! str enum=hour|day|week|month|year|decade" => rrd::node;
    "GET" "/nodes/{node}/network" [""] there "@node\ntype str enum=bridge|bond|eth|alias|vlan|fabric|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|any_bridge|any_local_bridge|include_sdn" => network::list;
    "POST" "/nodes/{node}/network" ["Sys.Modify@/nodes/{node}"] there "@node\niface! str fmt=pve-iface minlen=2 maxlen=20\ntype! str enum=bridge|bond|eth|alias|vlan|fabric|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|unknown\n@iface-options" => network::create;
    "PUT" "/nodes/{node}/network" ["Sys.Modify@/nodes/{node}"] there "@node\nregenerate-frr bool" => network::reload;
    "DELETE" "/nodes/{node}/network" ["Sys.Modify@/nodes/{node}"] there "@node" => network::revert;
    "GET" "/nodes/{node}/network/{iface}" ["Sys.Audit@/nodes/{node}"] there "@node\niface! str fmt=pve-iface minlen=2 maxlen=20" => network::show;
    "PUT" "/nodes/{node}/network/{iface}" ["Sys.Modify@/nodes/{node}"] there "@node\ndelete str fmt=pve-configid-list\niface! str fmt=pve-iface minlen=2 maxlen=20\ntype! str enum=bridge|bond|eth|alias|vlan|fabric|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|unknown\n@iface-options" => network::update;
    "DELETE" "/nodes/{node}/network/{iface}" ["Sys.Modify@/nodes/{node}"] there "@node\niface! str fmt=pve-iface minlen=2 maxlen=20" => network::delete;
    "GET" "/nodes/{node}/aplinfo" [""] there "@node" => images::appliances;
    "POST" "/nodes/{node}/aplinfo" ["Datastore.AllocateTemplate@/storage/{storage}"] there "@node\nstorage! str fmt=pve-storage-id\ntemplate! str maxlen=255" => images::appliance_download;
    "GET" "/nodes/{node}/query-url-metadata" [""] there "@node\nurl! str pat=https?://.*\nverify-certificates bool" => images::url_metadata;
    "GET" "/nodes/{node}/query-oci-repo-tags" ["Sys.AccessNetwork@/nodes/{node}"] there "@node\nreference! str pat=^(?:(?:[a-zA-Z\\d]|[a-zA-Z\\d][a-zA-Z\\d-]*[a-zA-Z\\d])(?:\\.(?:[a-zA-Z\\d]|[a-zA-Z\\d][a-zA-Z\\d-]*[a-zA-Z\\d]))*(?::\\d+)?/)?[a-z\\d]+(?:(?:[._]|__|[-]*)[a-z\\d]+)*(?:/[a-z\\d]+(?:(?:[._]|__|[-]*)[a-z\\d]+)*)*$" => images::oci_tags;
    "POST" "/nodes/{node}/storage/{storage}/oci-registry-pull" ["Datastore.AllocateTemplate@/storage/{storage}"] there "@node\nfilename str minlen=1 maxlen=255\nreference! str pat=^(?:(?:[a-zA-Z\\d]|[a-zA-Z\\d][a-zA-Z\\d-]*[a-zA-Z\\d])(?:\\.(?:[a-zA-Z\\d]|[a-zA-Z\\d][a-zA-Z\\d-]*[a-zA-Z\\d]))*(?::\\d+)?/)?[a-z\\d]+(?:(?:[._]|__|[-]*)[a-z\\d]+)*(?:/[a-z\\d]+(?:(?:[._]|__|[-]*)[a-z\\d]+)*)*:\\w[\\w.-]{0,127}$\nstorage! str fmt=pve-storage-id" => images::oci_pull;
    "POST" "/nodes/{node}/storage/{storage}/download-url" [""] there "@node\nchecksum str requires=checksum-algorithm\nchecksum-algorithm str enum=md5|sha1|sha224|sha256|sha384|sha512 requires=checksum\ncompression str\ncontent! str fmt=pve-storage-content enum=iso|vztmpl|import\nfilename! str maxlen=255\nstorage! str fmt=pve-storage-id\nurl! str pat=https?://.*\nverify-certificates bool" => images::download_url;
    "POST" "/nodes/{node}/storage/{storage}/upload" ["Datastore.AllocateTemplate@/storage/{storage}"] there "@node\nchecksum str requires=checksum-algorithm\nchecksum-algorithm str enum=md5|sha1|sha224|sha256|sha384|sha512 requires=checksum\ncontent! str fmt=pve-storage-content enum=iso|vztmpl|import\nfilename! str maxlen=255\nstorage! str fmt=pve-storage-id\ntmpfilename str pat=/var/tmp/pveupload-[0-9a-f]+" => images::upload;
    "GET" "/nodes/{node}/storage" [""] there "@node\ncontent str fmt=pve-storage-content-list\nenabled bool\nformat bool\nstorage str fmt=pve-storage-id\ntarget str fmt=pve-node" => storage::on_node;
    "GET" "/nodes/{node}/storage/{storage}/rrddata" ["Datastore.Audit|Datastore.AllocateSpace@/storage/{storage}"] here "@node\ncf str enum=AVERAGE|MAX\nstorage! str fmt=pve-storage-id\ntimeframe! str enum=hour|day|week|month|year" => rrd::storage;
    "GET" "/nodes/{node}/storage/{storage}/status" ["Datastore.Audit|Datastore.AllocateSpace@/storage/{storage}"] there "@node\nstorage! str fmt=pve-storage-id" => storage::status;
    "GET" "/nodes/{node}/storage/{storage}/content" ["Datastore.Audit|Datastore.AllocateSpace@/storage/{storage}"] there "@node\ncontent str fmt=pve-storage-content\nstorage! str fmt=pve-storage-id\nvmid int fmt=pve-vmid min=100 max=999999999" => content::list;
    "DELETE" "/nodes/{node}/storage/{storage}/content/{volume}" [""] there "@node\ndelay int min=1 max=30\nstorage str fmt=pve-storage-id\nvolume! str" => content::delete;
    "POST" "/nodes/{node}/storage/{storage}/content" ["Datastore.AllocateSpace@/storage/{storage}"] there "@node\nfilename! str\nformat str enum=raw|qcow2|subvol|vmdk requires=size\nsize! str pat=\\d+[MG]?\nstorage! str fmt=pve-storage-id\nvmid! int fmt=pve-vmid min=100 max=999999999" => content::allocate;
    "GET" "/nodes/{node}/storage/{storage}/content/{volume}" [""] there "@node\nstorage str fmt=pve-storage-id\nvolume! str" => content::show;
    "PUT" "/nodes/{node}/storage/{storage}/content/{volume}" [""] there "@node\nnotes str\nprotected bool\nstorage str fmt=pve-storage-id\nvolume! str" => content::annotate;
    "GET" "/nodes/{node}/tasks" [""] there "@node\nerrors bool\nlimit int min=0\nsince int\nsource str enum=archive|active|all\nstart int min=0\nstatusfilter str fmt=pve-task-status-type-list\ntypefilter str\nuntil int\nuserfilter str\nvmid int fmt=pve-vmid min=100 max=999999999" => tasks::list;
    "GET" "/nodes/{node}/tasks/{upid}/status" [""] there "@node\nupid! str" => tasks::status;
    "GET" "/nodes/{node}/tasks/{upid}/log" [""] there "@node\ndownload bool\nlimit int min=0\nstart int min=0\nupid! str" => tasks::log;
    "DELETE" "/nodes/{node}/tasks/{upid}" [""] there "@node\nupid! str" => tasks::cancel;
}

routes! { LXC:
    "GET" "/nodes/{node}/lxc" [""] there "@node" => guests::list;
    "POST" "/nodes/{node}/lxc" [""] there "@node\n@lxc-options\nbwlimit num min=0\nforce bool\nha-managed bool\nignore-unpack-errors bool\nostemplate! str maxlen=255\npassword str minlen=5\npool str fmt=pve-poolid\nrestore bool\nssh-public-keys str\nstart bool\nstorage str fmt=pve-storage-id\nunique bool requires=restore\nvmid! int fmt=pve-vmid min=100 max=999999999" => create::lxc;
    "DELETE" "/nodes/{node}/lxc/{vmid}" ["VM.Allocate@/vms/{vmid}"] there "@guest\ndestroy-unreferenced-disks bool\nforce bool\npurge bool" => lifecycle::destroy;
    "GET" "/nodes/{node}/lxc/{vmid}/config" ["VM.Audit@/vms/{vmid}"] there "@guest\ncurrent bool\nsnapshot str fmt=pve-configid maxlen=40" => config::show;
    "PUT" "/nodes/{node}/lxc/{vmid}/config" ["VM.Config.Disk|VM.Config.CPU|VM.Config.Memory|VM.Config.Network|VM.Config.Options@/vms/{vmid}"] there "@guest\n@lxc-options\ndelete str fmt=pve-configid-list\ndigest str maxlen=40\nrevert str fmt=pve-configid-list" => config::update;
    "GET" "/nodes/{node}/lxc/{vmid}/pending" ["VM.Audit@/vms/{vmid}"] there "@guest" => config::pending;
    "GET" "/nodes/{node}/lxc/{vmid}/status/current" ["VM.Audit@/vms/{vmid}"] there "@guest" => guests::current;
    "POST" "/nodes/{node}/lxc/{vmid}/status/start" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest\ndebug bool\nskiplock bool" => power::start;
    "POST" "/nodes/{node}/lxc/{vmid}/status/stop" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest\noverrule-shutdown bool\nskiplock bool" => power::stop;
    "POST" "/nodes/{node}/lxc/{vmid}/status/shutdown" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest\nforceStop bool\ntimeout int min=0" => power::shutdown;
    "POST" "/nodes/{node}/lxc/{vmid}/status/reboot" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest\ntimeout int min=0" => power::reboot;
    "POST" "/nodes/{node}/lxc/{vmid}/status/suspend" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest" => power::suspend;
    "POST" "/nodes/{node}/lxc/{vmid}/status/resume" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest" => power::resume;
    "GET" "/nodes/{node}/lxc/{vmid}/snapshot" ["VM.Audit@/vms/{vmid}"] there "@guest" => snapshots::list;
    "POST" "/nodes/{node}/lxc/{vmid}/snapshot" ["VM.Snapshot@/vms/{vmid}"] there "@guest\n@snapname\ndescription str" => snapshots::take;
    "DELETE" "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}" ["VM.Snapshot@/vms/{vmid}"] there "@guest\n@snapname\nforce bool" => snapshots::delete;
    "POST" "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/rollback" ["VM.Snapshot|VM.Snapshot.Rollback@/vms/{vmid}"] there "@guest\n@snapname\nstart bool" => snapshots::rollback;
    "POST" "/nodes/{node}/lxc/{vmid}/clone" [""] there "@guest\nbwlimit num min=0\ndescription str\nfull bool\nhostname str fmt=dns-name\nnewid! int fmt=pve-vmid min=100 max=999999999\npool str fmt=pve-poolid\nsnapname str fmt=pve-configid maxlen=40\nstorage str fmt=pve-storage-id\ntarget str fmt=pve-node" => lifecycle::clone;
    "GET" "/nodes/{node}/lxc/{vmid}/migrate" ["VM.Migrate@/vms/{vmid}"] there "@guest\ntarget str fmt=pve-node" => lifecycle::migrate_info;
    "POST" "/nodes/{node}/lxc/{vmid}/migrate" ["VM.Migrate@/vms/{vmid}"] there "@guest\nbwlimit num min=0\nonline bool\nrestart bool\ntarget! str fmt=pve-node\ntarget-storage str fmt=storage-pair-list\ntimeout int" => lifecycle::migrate;
    "PUT" "/nodes/{node}/lxc/{vmid}/resize" ["VM.Config.Disk@/vms/{vmid}"] there "@guest\ndigest str maxlen=40\ndisk! str disks=lxc\nsize! str pat=\\+?\\d+(\\.\\d+)?[KMGT]?" => disks::resize;
    "POST" "/nodes/{node}/lxc/{vmid}/move_volume" ["VM.Config.Disk@/vms/{vmid}"] there "@guest\nbwlimit num min=0\ndelete bool\ndigest str maxlen=40\nstorage str fmt=pve-storage-id\ntarget-digest str maxlen=40\ntarget-vmid int fmt=pve-vmid min=100 max=999999999\ntarget-volume str disks=lxc-all\nvolume! str disks=lxc-all" => disks::move_volume;
    "POST" "/nodes/{node}/lxc/{vmid}/template" ["VM.Allocate@/vms/{vmid}"] there "@guest" => lifecycle::template;
    "GET" "/nodes/{node}/lxc/{vmid}/feature" ["VM.Audit@/vms/{vmid}"] there "@guest\nfeature! str enum=snapshot|clone|copy\nsnapname str fmt=pve-configid maxlen=40" => guests::feature;
    "GET" "/nodes/{node}/lxc/{vmid}/interfaces" ["VM.Audit@/vms/{vmid}"] there "@guest" => guests::interfaces;
    "GET" "/nodes/{node}/lxc/{vmid}/rrddata" ["VM.Audit@/vms/{vmid}"] here "@guest\ncf str enum=AVERAGE|MAX\ntimeframe! str enum=hour|day|week|month|year" => rrd::guest;
}

routes! { QEMU:
    "GET" "/nodes/{node}/qemu" [""] there "@node\nfull bool" => guests::list;
    "POST" "/nodes/{node}/qemu" [""] there "@node\n@qemu-options\narchive str maxlen=255\nbwlimit int min=0\nforce bool requires=archive\nha-managed bool\nimport-working-storage str fmt=pve-storage-id\nlive-restore bool\npool str fmt=pve-poolid\nstart bool\nstorage str fmt=pve-storage-id\nunique bool requires=archive\nvmid! int fmt=pve-vmid min=100 max=999999999" => create::qemu;
    "DELETE" "/nodes/{node}/qemu/{vmid}" ["VM.Allocate@/vms/{vmid}"] there "@guest\ndestroy-unreferenced-disks bool\npurge bool\nskiplock bool" => lifecycle::destroy;
    "GET" "/nodes/{node}/qemu/{vmid}/config" ["VM.Audit@/vms/{vmid}"] there "@guest\ncurrent bool\nsnapshot str fmt=pve-configid maxlen=40" => config::show;
    "PUT" "/nodes/{node}/qemu/{vmid}/config" ["VM.Config.Disk|VM.Config.CDROM|VM.Config.CPU|VM.Config.Memory|VM.Config.Network|VM.Config.HWType|VM.Config.Options|VM.Config.Cloudinit@/vms/{vmid}"] there "@guest\n@qemu-options\ndelete str fmt=pve-configid-list\ndigest str maxlen=40\nforce bool requires=delete\nrevert str fmt=pve-configid-list\nskiplock bool" => config::update;
    "POST" "/nodes/{node}/qemu/{vmid}/config" ["VM.Config.Disk|VM.Config.CDROM|VM.Config.CPU|VM.Config.Memory|VM.Config.Network|VM.Config.HWType|VM.Config.Options|VM.Config.Cloudinit@/vms/{vmid}"] there "@guest\n@qemu-options\nbackground_delay int min=1 max=30\ndelete str fmt=pve-configid-list\ndigest str maxlen=40\nimport-working-storage str fmt=pve-storage-id\nforce bool requires=delete\nrevert str fmt=pve-configid-list\nskiplock bool" => config::update_in_task;
    "GET" "/nodes/{node}/qemu/{vmid}/pending" ["VM.Audit@/vms/{vmid}"] there "@guest" => config::pending;
    "GET" "/nodes/{node}/qemu/{vmid}/status/current" ["VM.Audit@/vms/{vmid}"] there "@guest" => guests::current;
    "POST" "/nodes/{node}/qemu/{vmid}/status/start" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest\nforce-cpu str\nmachine str prop=qemu-machine\nmigratedfrom str fmt=pve-node\nmigration_network str fmt=CIDR\nmigration_type str enum=secure|insecure\nnets-host-mtu str pat=net\\d+=\\d+(,net\\d+=\\d+)*\nskiplock bool\nstateuri str maxlen=128\ntargetstorage str fmt=storage-pair-list\ntimeout int min=0\nwith-conntrack-state bool" => power::start;
    "POST" "/nodes/{node}/qemu/{vmid}/status/stop" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest\nkeepActive bool\nmigratedfrom str fmt=pve-node\noverrule-shutdown bool\nskiplock bool\ntimeout int min=0" => power::stop;
    "POST" "/nodes/{node}/qemu/{vmid}/status/shutdown" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest\nforceStop bool\nkeepActive bool\nskiplock bool\ntimeout int min=0" => power::shutdown;
    "POST" "/nodes/{node}/qemu/{vmid}/status/reboot" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest\ntimeout int min=0" => power::reboot;
    "POST" "/nodes/{node}/qemu/{vmid}/status/reset" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest\nskiplock bool" => power::reset;
    "POST" "/nodes/{node}/qemu/{vmid}/status/suspend" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest\nskiplock bool\nstatestorage str fmt=pve-storage-id requires=todisk\ntodisk bool" => power::suspend;
    "POST" "/nodes/{node}/qemu/{vmid}/status/resume" ["VM.PowerMgmt@/vms/{vmid}"] there "@guest\nnocheck bool\nskiplock bool" => power::resume;
    "GET" "/nodes/{node}/qemu/{vmid}/snapshot" ["VM.Audit@/vms/{vmid}"] there "@guest" => snapshots::list;
    "POST" "/nodes/{node}/qemu/{vmid}/snapshot" ["VM.Snapshot@/vms/{vmid}"] there "@guest\n@snapname\ndescription str\nvmstate bool" => snapshots::take;
    "DELETE" "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}" ["VM.Snapshot@/vms/{vmid}"] there "@guest\n@snapname\nforce bool" => snapshots::delete;
    "POST" "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback" ["VM.Snapshot|VM.Snapshot.Rollback@/vms/{vmid}"] there "@guest\n@snapname\nstart bool" => snapshots::rollback;
    "POST" "/nodes/{node}/qemu/{vmid}/clone" [""] there "@guest\nbwlimit int min=0\ndescription str\nformat str enum=raw|qcow2|vmdk\nfull bool\nname str fmt=dns-name\nnewid! int fmt=pve-vmid min=100 max=999999999\npool str fmt=pve-poolid\nsnapname str fmt=pve-configid maxlen=40\nstorage str fmt=pve-storage-id\ntarget str fmt=pve-node" => lifecycle::clone;
    "GET" "/nodes/{node}/qemu/{vmid}/migrate" ["VM.Migrate@/vms/{vmid}"] there "@guest\ntarget str fmt=pve-node" => lifecycle::migrate_info;
    "POST" "/nodes/{node}/qemu/{vmid}/migrate" ["VM.Migrate@/vms/{vmid}"] there "@guest\nbwlimit int min=0\nforce bool\nmigration_network str fmt=CIDR\nmigration_type str enum=secure|insecure\nonline bool\ntarget! str fmt=pve-node\ntargetstorage str fmt=storage-pair-list\nwith-conntrack-state bool\nwith-local-disks bool" => lifecycle::migrate;
    "PUT" "/nodes/{node}/qemu/{vmid}/resize" ["VM.Config.Disk@/vms/{vmid}"] there "@guest\ndigest str maxlen=40\ndisk! str disks=qemu\nsize! str pat=\\+?\\d+(\\.\\d+)?[KMGT]?\nskiplock bool" => disks::resize;
    "POST" "/nodes/{node}/qemu/{vmid}/move_disk" ["VM.Config.Disk@/vms/{vmid}"] there "@guest\nbwlimit int min=0\ndelete bool\ndigest str maxlen=40\ndisk! str disks=qemu-all\nformat str enum=raw|qcow2|vmdk\nstorage str fmt=pve-storage-id\ntarget-digest str maxlen=40\ntarget-disk str disks=qemu-all\ntarget-vmid int fmt=pve-vmid min=100 max=999999999" => disks::move_disk;
    "POST" "/nodes/{node}/qemu/{vmid}/template" ["VM.Allocate@/vms/{vmid}"] there "@guest\ndisk str disks=qemu" => lifecycle::template;
    "GET" "/nodes/{node}/qemu/{vmid}/feature" ["VM.Audit@/vms/{vmid}"] there "@guest\nfeature! str enum=snapshot|clone|copy\nsnapname str fmt=pve-configid maxlen=40" => guests::feature;
    "GET" "/nodes/{node}/qemu/{vmid}/rrddata" ["VM.Audit@/vms/{vmid}"] here "@guest\ncf str enum=AVERAGE|MAX\ntimeframe! str enum=hour|day|week|month|year" => rrd::guest;
}
