
# What any instance has of EC2 besides its disks, its initramfs and its boot loader; and nothing of how it was made.
dress() {
cat > "$root/etc/network/interfaces" <<'INTERFACES'
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet dhcp
    hwaddress ether 0a:ff:c0:a8:01:0a
INTERFACES
mkdir -p "$root/etc/udev/rules.d"
cat > "$root/etc/udev/rules.d/70-persistent-net.rules" <<'RULES'
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="0a:ff:c0:a8:01:0a", ATTR{type}=="1", NAME="eth0"
RULES
cat > "$root/etc/cloud/cloud.cfg.d/99-ec2.cfg" <<'CLOUD'
datasource_list: [ Ec2 ]
datasource:
  Ec2:
    strict_id: true
    timeout: 5
    max_wait: 10
CLOUD
cat > "$root/etc/chrony/chrony.conf" <<'CHRONY'
server 169.254.169.123 prefer iburst minpoll 4 maxpoll 4
driftfile /var/lib/chrony/chrony.drift
makestep 1 3
rtcsync
CHRONY
echo ip-192-168-1-10 > "$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\tip-192-168-1-10\n' > "$root/etc/hosts"
printf 'root:refloat\n' | chroot "$root" chpasswd
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/tmp/*
: > "$root/etc/machine-id"
}
