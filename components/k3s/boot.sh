#!/usr/bin/env bash
# k3s-boot: makes a K3s node of a plain Ubuntu 24.04 server.
#
# cloud-init runs it once, when the machine is new; k3s-boot.service runs it
# again at every later boot, before K3s starts, with the user data of that boot.
# So a change of the user data, such as another issuer or K3s version, takes
# effect when EC2 restarts the machine. By hand: sudo /usr/local/sbin/k3s-boot
#
# Every step may run any number of times. It uses what the image has: bash, curl
# (SigV4 by itself), python3 (cloud-init is written in it), systemd.
set -euo pipefail
umask 077

SETTINGS=/etc/k3s-aws-auth
K3S=/usr/local/bin/k3s
RELEASES=https://github.com/k3s-io/k3s/releases/download
IMDS=http://169.254.169.254/latest
UNITS=/etc/systemd/system
CONFIG=/etc/rancher/k3s/config.yaml
DATA=/var/lib/rancher/k3s/server
AGENT=/var/lib/rancher/k3s/agent
SIGNING=/etc/rancher/k3s/service-account
PROVIDERS=/var/lib/rancher/credentialprovider

# From $SETTINGS/boot.env. An empty K3S_SHA256 means the release's own digest.
ROLE="" K3S_VERSION="" K3S_SHA256="" REGION="" DNS_SUFFIX=""
# Of several servers also: the number of this one, the URL by which nodes join
# and, on number 0 alone, the parameter that says who started the cluster.
SERVER="" JOIN="" FOUNDER=""
# Where agents pull images from ECR: the kubelet's credential provider.
PROVIDER_URL="" PROVIDER_SHA256=""

step="starting" # what the script is doing, for messages
work=""         # a directory to remove at the end

log() { echo "k3s-boot: $*"; }

fail() {
  log "$*" >&2
  exit 1
}

# The last line always says how it ended: it is what the console log shows.
finish() {
  local status=$?
  [[ -z $work ]] || rm -rf "$work"
  if ((status == 0)); then
    log "done: K3s $K3S_VERSION, $ROLE"
  else
    log "FAILED while $step (exit status $status). To try again: sudo /usr/local/sbin/k3s-boot" >&2
  fi
}

# retry SECONDS COMMAND...: until it succeeds, with pauses of 1 to 30 seconds.
# Right after boot the network, the role and its policies may not be there yet.
retry() {
  local deadline=$((SECONDS + $1)) pause=1
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    log "not yet ($step), again in $pause s"
    sleep "$pause"
    pause=$((pause * 2 > 30 ? 30 : pause * 2))
  done
}

# json KEY...: the text at that path of the JSON document on standard input.
json() {
  python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1:]:
    value = value[key]
sys.stdout.write(value)' "$@"
}

imds() {
  curl --silent --show-error --fail --max-time 5 \
    --header "X-aws-ec2-metadata-token: $imds_token" "$IMDS/meta-data/$1"
}

# Sets the credentials of the machine's role, as lines of a curl config: they go
# to curl by a pipe, since arguments show in the process list.
get_credentials() {
  local role document id secret token
  imds_token=$(curl --silent --show-error --fail --max-time 5 --request PUT \
    --header "X-aws-ec2-metadata-token-ttl-seconds: 600" "$IMDS/api/token") || return 1
  role=$(imds iam/security-credentials/) || return 1
  document=$(imds "iam/security-credentials/$role") || return 1
  id=$(json AccessKeyId <<<"$document") || return 1
  secret=$(json SecretAccessKey <<<"$document") || return 1
  token=$(json Token <<<"$document") || return 1
  printf -v credentials 'user = "%s:%s"\nheader = "X-Amz-Security-Token: %s"\n' "$id" "$secret" "$token"
}

need_credentials() {
  [[ -n ${credentials-} ]] || retry 300 get_credentials || fail "no credentials of an instance profile from $IMDS"
}

# ssm ACTION PARAMETER FIELDS: calls SSM and prints its answer.
ssm() {
  local answer
  if ! answer=$(curl --config - --silent --show-error --fail-with-body --max-time 20 \
    --aws-sigv4 "aws:amz:$REGION:ssm" \
    --header "X-Amz-Target: AmazonSSM.$1" \
    --header "Content-Type: application/x-amz-json-1.1" \
    --data "{\"Name\":\"$2\",$3}" \
    "https://ssm.$REGION.$DNS_SUFFIX/" <<<"$credentials"); then
    log "$2: $answer" >&2 # an error never holds the value
    return 1
  fi
  printf '%s' "$answer"
}

# fetch PARAMETER FILE MODE: writes the decrypted parameter, whole or not at all.
fetch() {
  local answer
  answer=$(ssm GetParameter "$1" '"WithDecryption":true') || return 1
  json Parameter Value <<<"$answer" >"$2.part" || return 1
  chmod "$3" "$2.part" && mv "$2.part" "$2"
}

# Files that exist stay: once K3s has started, its datastore is the authority
# over keys and tokens, and it refuses to start with newer ones on disk. They are
# changed by `k3s certificate rotate-ca` and `k3s token rotate`. A member of the
# set of ServiceAccount keys stays too: another key has another name.
fetch_secrets() {
  local parameter file mode
  while read -r -u 3 parameter file mode; do
    [[ -s $file ]] && continue
    step="fetching $parameter"
    need_credentials
    mkdir -p "$(dirname "$file")"
    retry 300 fetch "$parameter" "$file" "$mode" || fail "cannot read $parameter, for the reason above: may this machine's role?"
  done 3<"$SETTINGS/parameters"
  # A key that has left the set must not come back by its name alone.
  for file in "$SIGNING"/*; do
    [[ ! -e $file ]] || grep -q " $file " "$SETTINGS/parameters" || rm -f "$file"
  done
}

sign() { ssm PutParameter "$FOUNDER" "\"Value\":\"$1\",\"Overwrite\":true" >/dev/null; }

# Settles once and for all whether server 0 starts the cluster or joins it. The
# first machine writes its id into the parameter, which is "none" until then. One
# that replaces it finds another id: to start etcd again would be to make a second
# cluster with the keys of the first.
find_founder() {
  local self founder decision=$SETTINGS/founder
  [[ -n $FOUNDER ]] || return 0
  if [[ ! -s $decision ]]; then
    step="reading $FOUNDER"
    need_credentials
    self=$(imds instance-id) || fail "no instance id from $IMDS"
    retry 300 fetch "$FOUNDER" "$decision.part" 0644 || fail "cannot read $FOUNDER, for the reason above"
    founder=$(<"$decision.part")
    if [[ $founder == none ]]; then
      retry 300 sign "$self" || fail "cannot write $FOUNDER, for the reason above"
      founder=$self
    fi
    echo "${founder/#"$self"/self}" >"$decision.part"
    mv "$decision.part" "$decision"
  fi
  founder=$(<"$decision")
  if [[ $founder != self ]]; then
    log "$founder started this cluster: this machine joins it"
    sed -i "s|^cluster-init: true\$|server: $JOIN|" "$CONFIG"
  fi
}

# Whether this server is one that joined others, or will.
joins() { [[ $ROLE == server ]] && grep -q '^server: ' "$CONFIG"; }

# at_join ARGUMENTS...: calls the API at JOIN and prints nothing of its answer.
at_join() { curl --silent --show-error --output /dev/null --max-time 20 --cacert "$DATA/tls/server-ca.crt" "$@"; }

# Whether any server answers at JOIN, whatever it says, with the cluster's CA.
answers() { at_join "$JOIN/"; }

# Deletes the Node of the machine that was server number SERVER before. K3s then
# takes that machine out of etcd, which takes no new member while one of the old
# ones is away. This machine is not a member yet, so it makes an admin's
# certificate for this one call: it has the key of the CA.
forget_predecessor() {
  local admin=$SETTINGS/admin status
  openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj "/O=system:masters/CN=boot" \
    -CA "$DATA/tls/client-ca.crt" -CAkey "$DATA/tls/client-ca.key" -keyout "$admin.key" -out "$admin.crt" 2>/dev/null &&
    at_join --fail --cert "$admin.crt" --key "$admin.key" --request DELETE \
      "$JOIN/api/v1/nodes?labelSelector=k3s-aws-auth%2Fserver%3D$SERVER"
  status=$?
  rm -f "$admin".*
  return $status
}

# A download that all but stands still is given up and tried again: where the
# machine's public address changes, an open connection ends without a word.
download() {
  curl --silent --show-error --fail --location --connect-timeout 20 --speed-limit 20000 --speed-time 20 --max-time 600 --output "$2" "$1"
}

# Gives the node the name that AWS's controllers know its machine by. K3s's own
# would be k3s://<node>. A node that has one already keeps it.
name_provider() {
  local id zone file=$CONFIG.d/provider-id.yaml
  [[ -s $file ]] && return
  step="asking for the instance's id"
  need_credentials
  if ! id=$(imds instance-id) || ! zone=$(imds placement/availability-zone); then fail "no instance id and zone from $IMDS"; fi
  mkdir -p "$CONFIG.d"
  echo "kubelet-arg+: [provider-id=aws:///$zone/$id]" >"$file.part"
  mv "$file.part" "$file"
}

# Installs the K3s binary of the wanted version, unless it is there already.
install_k3s() {
  local url suffix arch digest
  step="installing K3s $K3S_VERSION"
  rm -rf /usr/local/bin/.k3s.* # of a run that was killed
  if [[ -x $K3S && $("$K3S" --version) == *"k3s version $K3S_VERSION "* ]]; then
    return
  fi
  case $(uname -m) in
    x86_64) arch=amd64 suffix="" ;;
    aarch64) arch=arm64 suffix=-arm64 ;;
    *) fail "no K3s for $(uname -m)" ;;
  esac
  url=$RELEASES/${K3S_VERSION//+/%2B}
  work=$(mktemp -d /usr/local/bin/.k3s.XXXXXX)
  digest=$K3S_SHA256
  if [[ -z $digest ]]; then
    retry 600 download "$url/sha256sum-$arch.txt" "$work/digests" || fail "cannot download $url/sha256sum-$arch.txt"
    digest=$(awk -v name="k3s$suffix" '$2 == name { print $1 }' "$work/digests")
    [[ -n $digest ]] || fail "the release lists no digest of k3s$suffix"
  fi
  retry 600 download "$url/k3s$suffix" "$work/k3s" || fail "cannot download $url/k3s$suffix"
  if ! sha256sum --check --status <<<"$digest  $work/k3s"; then
    fail "k3s$suffix does not have the expected digest, $digest"
  fi
  chmod 0755 "$work/k3s"
  mv -f "$work/k3s" "$K3S" # in one move: a running K3s keeps its old file
  for tool in kubectl crictl ctr; do ln -sfn k3s "/usr/local/bin/$tool"; done
}

# Installs the program by which the kubelet gets credentials for images, unless it
# is there already, and takes it away where it is not wanted any more: K3s gives the
# kubelet what lies there.
install_provider() {
  local file=$PROVIDERS/bin/ecr-credential-provider mark=$SETTINGS/provider
  step="installing the credential provider of the kubelet"
  if [[ -z $PROVIDER_SHA256 ]]; then
    [[ ! -e $mark ]] || rm -f "$file" "$PROVIDERS/config.yaml" "$mark"
    return
  fi
  touch "$mark"
  [[ ! -x $file ]] || ! sha256sum --check --status <<<"$PROVIDER_SHA256  $file" || return 0
  mkdir -p "$PROVIDERS/bin"
  retry 600 download "$PROVIDER_URL" "$file.part" || fail "cannot download $PROVIDER_URL"
  if ! sha256sum --check --status <<<"$PROVIDER_SHA256  $file.part"; then
    fail "$PROVIDER_URL does not have the expected digest, $PROVIDER_SHA256"
  fi
  chmod 0755 "$file.part"
  mv -f "$file.part" "$file" # in one move: the kubelet may be running the old one
}

# Writes the units: K3s's as its own installer would, and this script's.
install_units() {
  step="installing the systemd units"
  cat >"$UNITS/$SERVICE.service" <<EOF
[Unit]
Description=Lightweight Kubernetes ($ROLE)
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target

[Service]
Type=$SERVICE_TYPE
KillMode=process
Delegate=yes
User=root
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=$K3S $ROLE
EOF
  cat >"$UNITS/k3s-boot.service" <<EOF
[Unit]
Description=Prepare K3s from this boot's user data
Wants=network-online.target
After=network-online.target
Before=$SERVICE.service

[Install]
WantedBy=multi-user.target

[Service]
Type=oneshot
ExecStartPre=/usr/bin/cloud-init single --name write_files --frequency always
ExecStart=/usr/local/sbin/k3s-boot prepare
StandardOutput=journal+console
StandardError=journal+console
EOF
  cat >"$UNITS/k3s-renew.service" <<EOF
[Unit]
Description=Restart K3s before its certificates end

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/k3s-boot renew
EOF
  cat >"$UNITS/k3s-renew.timer" <<EOF
[Unit]
Description=Look every day whether certificates of K3s end

[Install]
WantedBy=timers.target

[Timer]
OnCalendar=*-*-* 00:00:00 UTC
RandomizedDelaySec=6h
EOF
  chmod 0644 "$UNITS/$SERVICE.service" "$UNITS"/k3s-boot.service "$UNITS"/k3s-renew.*
  systemctl daemon-reload
  systemctl enable --quiet "$SERVICE.service" k3s-boot.service
  systemctl enable --quiet --now k3s-renew.timer
}

# start SECONDS TRIES: restarts K3s and watches it until it runs. It does not wait
# inside systemctl: a server whose member etcd does not admit says so in its
# journal, and would keep systemctl waiting for ever.
start() {
  local deadline=$((SECONDS + $1)) tell=$((SECONDS + 30))
  systemctl stop "$SERVICE.service" # so that what is active below is the new one
  systemctl start --no-block "$SERVICE.service"
  until systemctl is-active --quiet "$SERVICE.service"; do
    if ((SECONDS >= deadline)) || (($(systemctl show --property NRestarts --value "$SERVICE.service") >= $2)); then
      journalctl --unit "$SERVICE" --lines 20 --no-pager || true
      fail "systemd keeps trying; follow it with: journalctl -fu $SERVICE"
    fi
    if ((SECONDS >= tell)); then
      log "not yet ($step). The journal's last lines:"
      journalctl --unit "$SERVICE" --lines 3 --no-pager || true
      tell=$((SECONDS + 60))
    fi
    sleep 2
  done
}

# ends DAYS: whether a certificate that K3s made for itself ends so soon. K3s
# renews them, within 120 days of their end, only when it starts.
ends() {
  local certificate list
  list=$(find "$DATA/tls" "$AGENT" -name '*.crt' ! -name '*-ca.crt' 2>/dev/null) || true # an agent has no $DATA
  for certificate in $list; do
    openssl x509 -noout -checkend $(($1 * 86400)) -in "$certificate" >/dev/null || return 0
  done
  return 1
}

# Runs every day. Servers have a day of the week each, so that no two restart at a
# time, and agents the other two; in its last two weeks an agent takes any day. A
# restart leaves pods alone.
renew() {
  local day=$((EPOCHSECONDS / 86400 % 7)) last=$SETTINGS/renewed
  step="renewing certificates"
  ends 90 || return 0
  case $ROLE in
    server) ((day == ${SERVER:-0})) || return 0 ;;
    agent) ((day > 4)) || ends 14 || return 0 ;;
  esac
  # What a restart did not renew, K3s does not use any more.
  [[ -z $(find "$last" -mtime -30 2>/dev/null) ]] || return 0
  if [[ $ROLE == server ]]; then
    curl --silent --fail --max-time 20 --output /dev/null --cacert "$DATA/tls/server-ca.crt" https://127.0.0.1:6443/readyz || fail "this server is not ready: it is not restarted while others may be away"
  fi
  touch "$last"
  log "certificates end within 90 days: $SERVICE restarts"
  start 900 3
}

main() {
  trap finish EXIT
  step="reading $SETTINGS/boot.env"
  # shellcheck source=/dev/null
  . "$SETTINGS/boot.env"
  case $ROLE in
    server) SERVICE=k3s SERVICE_TYPE=notify ;;
    agent) SERVICE=k3s-agent SERVICE_TYPE=exec ;;
    *) fail "unknown ROLE $ROLE" ;;
  esac
  if [[ ${1-} == renew ]]; then
    renew
    return
  fi
  # K3s's own modes: only the server's directory is closed.
  (umask 022 && mkdir -p /var/lib/rancher/k3s /etc/rancher/k3s)

  fetch_secrets
  find_founder
  name_provider
  install_k3s
  install_provider
  install_units
  if [[ ${1-} == prepare ]]; then return; fi # systemd starts K3s after this
  local patience=600 tries=3
  if joins && [[ ! -d $DATA/db/etcd/member ]]; then
    patience=900 tries=1000 # etcd takes one new member at a time
    step="waiting for a server at $JOIN"
    retry 900 answers || fail "no server answers at $JOIN: there is no cluster to join"
    step="removing its predecessor"
    retry 300 forget_predecessor || fail "its Node stays; by hand: kubectl delete node -l k3s-aws-auth/server=$SERVER"
  fi
  step="starting $SERVICE"
  start "$patience" "$tries"
  if [[ $ROLE == agent ]]; then
    # systemd knows only that it runs. Once a server has admitted it, it has a
    # certificate; with a wrong token or CA it would ask for one for ever.
    step="joining the cluster"
    if ! retry 900 test -s "$AGENT/client-kubelet.crt"; then
      journalctl --unit "$SERVICE" --lines 20 --no-pager || true
      fail "no server has admitted this agent; follow it with: journalctl -fu $SERVICE"
    fi
  fi
}

main "$@"
