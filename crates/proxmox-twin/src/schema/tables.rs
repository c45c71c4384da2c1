//! The shared tables: groups of parameters used by several methods, and the keys of property strings.
//!
//! Written from how the API behaves; `tests/contract.rs` compares them with the official schema.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::Table;

/// Options an LXC guest has at creation and afterwards.
const LXC_OPTIONS: &str = r"
arch str enum=amd64|i386|arm64|armhf|riscv32|riscv64
cmode str enum=shell|console|tty
console bool
cores int min=1 max=8192
cpulimit num min=0 max=8192
cpuunits int min=0 max=500000
debug bool
description str maxlen=8192
dev[n] str prop=lxc-dev
entrypoint str pat=[^\x00-\x08\x10-\x1F\x7F]+
env str pat=(?:\w+=[^\x00-\x08\x10-\x1F\x7F]*)(?:\x00\w+=[^\x00-\x08\x10-\x1F\x7F]*)*
features str prop=lxc-features
hookscript str fmt=pve-volume-id
hostname str fmt=dns-name maxlen=255
lock str enum=backup|create|destroyed|disk|fstrim|migrate|mounted|rollback|snapshot|snapshot-delete
memory int min=16
mp[n] str prop=lxc-mp
nameserver str fmt=lxc-ip-with-ll-iface-list
net[n] str prop=lxc-net
onboot bool
ostype str enum=debian|devuan|ubuntu|centos|fedora|opensuse|archlinux|alpine|gentoo|nixos|unmanaged
protection bool
rootfs str prop=lxc-rootfs
searchdomain str fmt=dns-name-list
startup str fmt=pve-startup-order
swap int min=0
tags str fmt=pve-tag-list
template bool
timezone str fmt=pve-ct-timezone
tty int min=0 max=6
unprivileged bool
unused[n] str prop=lxc-unused
";

/// Options a QEMU guest has at creation and afterwards.
const QEMU_OPTIONS: &str = r"
acpi bool
affinity str fmt=pve-cpuset
agent str prop=qemu-agent
allow-ksm bool
amd-sev str fmt=pve-qemu-sev-fmt
arch str enum=x86_64|aarch64
args str
audio0 str prop=qemu-audio
autostart bool
balloon int min=0
bios str enum=seabios|ovmf
boot str fmt=pve-qm-boot
bootdisk str fmt=pve-qm-bootdisk pat=(ide|sata|scsi|virtio)\d+
cdrom str fmt=pve-qm-ide
cicustom str fmt=pve-qm-cicustom
cipassword str
citype str enum=configdrive2|nocloud|opennebula
ciupgrade bool
ciuser str
cores int min=1
cpu str fmt=pve-vm-cpu-conf
cpulimit num min=0 max=128
cpuunits int min=1 max=262144
description str maxlen=8192
efidisk0 str prop=qemu-efidisk
freeze bool
hookscript str fmt=pve-volume-id
hostpci[n] str fmt=pve-qm-hostpci
hotplug str fmt=pve-hotplug-features
hugepages str enum=any|2|1024
ide[n] str prop=qemu-ide
intel-tdx str fmt=pve-qemu-tdx-fmt
ipconfig[n] str fmt=pve-qm-ipconfig
ivshmem str prop=qemu-ivshmem
keephugepages bool
keyboard str enum=de|de-ch|da|en-gb|en-us|es|fi|fr|fr-be|fr-ca|fr-ch|hu|is|it|ja|lt|mk|nl|no|pl|pt|pt-br|sv|sl|tr
kvm bool
localtime bool
lock str enum=backup|clone|create|migrate|rollback|snapshot|snapshot-delete|suspending|suspended
machine str prop=qemu-machine
memory str prop=qemu-memory
migrate_downtime num min=0
migrate_speed int min=0
name str fmt=dns-name
nameserver str fmt=address-list
net[n] str prop=qemu-net
numa bool
numa[n] str prop=qemu-numa
onboot bool
ostype str enum=other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris
parallel[n] str pat=/dev/parport\d+|/dev/usb/lp\d+
protection bool
reboot bool
rng0 str fmt=pve-qm-rng
sata[n] str prop=qemu-sata
scsi[n] str prop=qemu-scsi
scsihw str enum=lsi|lsi53c810|virtio-scsi-pci|virtio-scsi-single|megasas|pvscsi
searchdomain str
serial[n] str pat=(/dev/.+|socket)
shares int min=0 max=50000
smbios1 str fmt=pve-qm-smbios1 maxlen=512
smp int min=1
sockets int min=1
spice_enhancements str prop=qemu-spice
sshkeys str fmt=urlencoded
startdate str pat=(now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?)
startup str fmt=pve-startup-order
tablet bool
tags str fmt=pve-tag-list
tdf bool
template bool
tpmstate0 str prop=qemu-tpm
unused[n] str prop=qemu-unused
usb[n] str prop=qemu-usb
vcpus int min=1
vga str prop=qemu-vga
virtio[n] str prop=qemu-virtio
virtiofs[n] str prop=qemu-virtiofs
vmgenid str pat=(?:[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01])
vmstatestorage str fmt=pve-storage-id
watchdog str fmt=pve-qm-watchdog
";

/// Fields of a firewall rule that may always be given.
const FW_RULE: &str = r"
comment str
dest str fmt=pve-fw-addr-spec maxlen=512
dport str fmt=pve-fw-dport-spec
enable int min=0
icmp-type str fmt=pve-fw-icmp-type-spec
iface str fmt=pve-iface minlen=2 maxlen=20
log str enum=emerg|alert|crit|err|warning|notice|info|debug|nolog
macro str maxlen=128
proto str fmt=pve-fw-protocol-spec
source str fmt=pve-fw-addr-spec maxlen=512
sport str fmt=pve-fw-sport-spec
";

/// Options of a node's interface.
const IFACE_OPTIONS: &str = r"
address str fmt=ipv4 requires=netmask
address6 str fmt=ipv6 requires=netmask6
autostart bool
bond-primary str fmt=pve-iface
bond_mode str enum=balance-rr|active-backup|balance-xor|broadcast|802.3ad|balance-tlb|balance-alb|balance-slb|lacp-balance-slb|lacp-balance-tcp
bond_xmit_hash_policy str enum=layer2|layer2+3|layer3+4
bridge_ports str fmt=pve-iface-list
bridge_vids str fmt=pve-vlan-id-or-range-list
bridge_vlan_aware bool
cidr str fmt=CIDRv4
cidr6 str fmt=CIDRv6
comments str
comments6 str
gateway str fmt=ipv4
gateway6 str fmt=ipv6
mtu int min=1280 max=65520
netmask str fmt=ipv4mask requires=address
netmask6 int min=0 max=128 requires=address6
ovs_bonds str fmt=pve-iface-list
ovs_bridge str fmt=pve-iface
ovs_options str maxlen=1024
ovs_ports str fmt=pve-iface-list
ovs_tag int min=1 max=4094
slaves str fmt=pve-iface-list
vlan-id int min=1 max=4094
vlan-raw-device str fmt=pve-iface
";

/// Keys every QEMU drive has.
const DRIVE: &str = r"
aio str enum=native|threads|io_uring
backup bool
bps int
bps_max_length int min=1
bps_rd int
bps_rd_length int min=1 alias=bps_rd_max_length
bps_rd_max_length int min=1
bps_wr int
bps_wr_length int min=1 alias=bps_wr_max_length
bps_wr_max_length int min=1
cache str enum=none|writethrough|writeback|unsafe|directsync
detect_zeroes bool
discard str enum=ignore|on
file! str dk fmt=pve-volume-id-or-qm-path
format str enum=raw|qcow|qed|qcow2|vmdk|cloop
import-from str fmt=pve-volume-id-or-absolute-path
iops int
iops_max int
iops_max_length int min=1
iops_rd int
iops_rd_length int min=1 alias=iops_rd_max_length
iops_rd_max int
iops_rd_max_length int min=1
iops_wr int
iops_wr_length int min=1 alias=iops_wr_max_length
iops_wr_max int
iops_wr_max_length int min=1
mbps num
mbps_max num
mbps_rd num
mbps_rd_max num
mbps_wr num
mbps_wr_max num
media str enum=cdrom|disk
replicate bool
rerror str enum=ignore|report|stop
serial str
shared bool
size str fmt=disk-size
snapshot bool
volume str alias=file
werror str enum=enospc|ignore|report|stop
";

/// The property strings, by the names used in `prop=` and `fmt=`.
const PROPERTIES: &[(&str, &str)] = &[
    (
        "lxc-net",
        r"
name! str pat=[-_.\w\d]+
bridge str pat=[-_.\w\d]+
firewall bool
gw str fmt=ipv4
gw6 str fmt=ipv6
host-managed bool
hwaddr str fmt=mac-addr
ip str fmt=pve-ipv4-config
ip6 str fmt=pve-ipv6-config
link_down bool
mtu int min=64 max=65535
rate num
tag int min=1 max=4094
trunks str pat=(?:\d+(?:;\d+)*)
type str enum=veth
",
    ),
    ("lxc-rootfs", "@lxc-volume"),
    ("lxc-mp", "@lxc-volume\nbackup bool\nkeepattrs bool\nmp! str fmt=pve-lxc-mp-string"),
    (
        "lxc-features",
        r"
force_rw_sys bool
fuse bool
keyctl bool
mknod bool
mount str pat=[a-zA-Z0-9_; ]+
nesting bool
",
    ),
    (
        "lxc-dev",
        "deny-write bool\ngid int min=0\nmode str pat=0[0-7]{3}\npath str fmt=pve-lxc-dev-string dk\nuid int min=0",
    ),
    ("lxc-unused", "volume! str fmt=pve-volume-id dk"),
    (
        "fw-log-ratelimit",
        "burst int min=0\nenable! bool dk\nrate str pat=[1-9][0-9]*\\/(second|minute|hour|day)",
    ),
    (
        "qemu-agent",
        r"
enabled! bool dk
freeze-fs bool
freeze-fs-on-backup bool alias=freeze-fs
fstrim_cloned_disks bool
guest-fsfreeze bool alias=freeze-fs
type str enum=virtio|isa
",
    ),
    ("qemu-audio", "device! str enum=ich9-intel-hda|intel-hda|AC97\ndriver str enum=spice|none"),
    (
        "qemu-efidisk",
        r"
efitype str enum=2m|4m
file! str dk fmt=pve-volume-id-or-qm-path
format str enum=raw|qcow|qed|qcow2|vmdk|cloop
import-from str fmt=pve-volume-id-or-absolute-path
ms-cert str
pre-enrolled-keys bool
size str fmt=disk-size
volume str alias=file
",
    ),
    ("qemu-ide", "@drive\nmodel str\nssd bool\nwwn str"),
    ("qemu-sata", "@drive\nssd bool\nwwn str"),
    (
        "qemu-scsi",
        "@drive\niothread bool\nproduct str\nqueues int min=2\nro bool\nscsiblock bool\nssd bool\nvendor str\nwwn str",
    ),
    ("qemu-virtio", "@drive\niothread bool\nro bool"),
    ("qemu-ivshmem", "name str\nsize! int min=1"),
    (
        "qemu-machine",
        r"
aw-bits num min=32 max=64
enable-s3 bool
enable-s4 bool
type str dk maxlen=40
viommu str enum=intel|virtio
",
    ),
    ("qemu-memory", "current! int min=16 dk"),
    (
        "qemu-net",
        r"
bridge str
e1000 str fmt=mac-addr alias=macaddr
e1000-82540em str fmt=mac-addr alias=macaddr
e1000-82544gc str fmt=mac-addr alias=macaddr
e1000-82545em str fmt=mac-addr alias=macaddr
e1000e str fmt=mac-addr alias=macaddr
firewall bool
i82551 str fmt=mac-addr alias=macaddr
i82557b str fmt=mac-addr alias=macaddr
i82559er str fmt=mac-addr alias=macaddr
link_down bool
macaddr str fmt=mac-addr
model str dk
mtu int min=1 max=65520
ne2k_isa str fmt=mac-addr alias=macaddr
ne2k_pci str fmt=mac-addr alias=macaddr
pcnet str fmt=mac-addr alias=macaddr
queues int min=0 max=64
rate num min=0
rtl8139 str fmt=mac-addr alias=macaddr
tag int min=1 max=4094
trunks str
virtio str fmt=mac-addr alias=macaddr
vmxnet3 str fmt=mac-addr alias=macaddr
",
    ),
    (
        "qemu-numa",
        "cpus! str\nhostnodes str\nmemory num\npolicy str enum=preferred|bind|interleave",
    ),
    ("qemu-spice", "foldersharing bool\nvideostreaming str enum=off|all|filter"),
    (
        "qemu-tpm",
        "file! str dk fmt=pve-volume-id-or-qm-path\nformat str\nimport-from str fmt=pve-volume-id-or-absolute-path\nsize str fmt=disk-size\nversion str enum=v1.2|v2.0\nvolume str alias=file",
    ),
    ("qemu-unused", "file! str fmt=pve-volume-id dk\nvolume str alias=file"),
    ("qemu-usb", "host str dk\nmapping str fmt=pve-configid\nusb3 bool"),
    ("qemu-vga", "clipboard str enum=vnc\nmemory int min=4 max=512\ntype str dk"),
    (
        "qemu-virtiofs",
        "cache str enum=auto|always|metadata|never\ndirect-io bool\ndirid! str fmt=pve-configid dk\nexpose-acl bool\nexpose-xattr bool",
    ),
    (
        "pve-qm-ipconfig",
        "gw str fmt=ipv4\ngw6 str fmt=ipv6\nip str fmt=pve-ipv4-config\nip6 str fmt=pve-ipv6-config",
    ),
    ("pve-qm-cicustom", "meta str\nnetwork str\nuser str\nvendor str"),
    (
        "pve-vm-cpu-conf",
        r"
cputype str dk
flags str
guest-phys-bits int min=32 max=64
hidden bool
hv-vendor-id str
level int
phys-bits str
reported-model str
",
    ),
    ("pve-qm-watchdog", "action str\nmodel str dk"),
    ("pve-qm-rng", "max_bytes int\nperiod int\nsource! str dk"),
    (
        "pve-qm-smbios1",
        "base64 bool\nfamily str\nmanufacturer str\nproduct str\nserial str\nsku str\nuuid str\nversion str",
    ),
];

/// A named group of parameter lines, used with `@name` in a table.
pub(crate) fn group(name: &str) -> Option<&'static str> {
    Some(match name {
        "lxc-options" => LXC_OPTIONS,
        "qemu-options" => QEMU_OPTIONS,
        "drive" => DRIVE,
        "iface-options" => IFACE_OPTIONS,
        "fw-rule" => FW_RULE,
        "lxc-volume" => LXC_VOLUME,
        "guest" => "node! str fmt=pve-node\nvmid! int fmt=pve-vmid min=100 max=999999999",
        "node" => "node! str fmt=pve-node",
        "snapname" => "snapname! str fmt=pve-configid maxlen=40",
        _ => return None,
    })
}

const LXC_VOLUME: &str = r"
acl bool
mountoptions str pat=(?:discard|lazytime|noatime|nodev|noexec|nosuid)(?:;(?:discard|lazytime|noatime|nodev|noexec|nosuid))*
quota bool
replicate bool
ro bool
shared bool
size str fmt=disk-size
volume! str dk fmt=pve-lxc-mp-string
";

/// The parsed property-string table called `name`.
pub(crate) fn property_table(name: &str) -> Option<&'static Table> {
    static TABLES: OnceLock<BTreeMap<&'static str, Table>> = OnceLock::new();
    TABLES
        .get_or_init(|| {
            PROPERTIES
                .iter()
                .filter_map(|(name, text)| Table::parse(text).ok().map(|table| (*name, table)))
                .collect()
        })
        .get(name)
}

/// The disk names of one kind of guest, in the order the server lists them.
pub(super) fn disks(kind: &str) -> Vec<String> {
    let run = |stem: &str, count: usize| -> Vec<String> {
        (0..count).map(|n| format!("{stem}{n}")).collect()
    };
    if kind.starts_with("lxc") {
        let mut all = vec!["rootfs".to_owned()];
        all.extend(run("mp", 256));
        if kind == "lxc-all" {
            all.extend(run("unused", 256));
        }
        return all;
    }
    let mut all = run("ide", 4);
    all.extend(run("scsi", 31));
    all.extend(run("virtio", 16));
    all.extend(run("sata", 6));
    all.extend(["efidisk0".to_owned(), "tpmstate0".to_owned()]);
    if kind == "qemu-all" {
        all.extend(run("unused", 256));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_can_be_read() {
        for (name, text) in PROPERTIES {
            Table::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(property_table(name).is_some(), "{name}");
        }
        for name in ["lxc-options", "qemu-options", "drive", "guest", "node", "snapname"] {
            Table::parse(group(name).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
