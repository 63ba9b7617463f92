#!/usr/bin/env bash
# A real Slurm of one node on loopback, for tests/slurm.rs (Debian and Ubuntu, as root):
#
#   tools/slurm.sh start DIR     installs what is missing and starts it; then: export SLURM_CONF=DIR/slurm.conf
#   tools/slurm.sh stop DIR
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup.sh
action=${1:?start or stop}
dir=$(mkdir -p "${2:?a directory}" && cd "$2" && pwd)
host=$(hostname -s)

if [ "$action" = stop ]; then
    for name in slurmd slurmctld munge/munged; do
        [ -f "$dir/$name.pid" ] && kill "$(cat "$dir/$name.pid")" 2>/dev/null || true
    done
    exit 0
fi

if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
    apt_install "the tests of job arrays need a Slurm" slurm-wlm munge >/dev/null
fi
mkdir -p "$dir"/state "$dir"/spool "$dir"/munge /run/munge
chown munge:munge "$dir/munge" /run/munge
chmod 755 "$dir" /run/munge
chmod 700 "$dir/munge"
if [ ! -f "$dir/munge/key" ]; then
    head -c 1024 /dev/urandom >"$dir/munge/key"
    chown munge:munge "$dir/munge/key"
    chmod 400 "$dir/munge/key"
fi
if ! pgrep -x munged >/dev/null; then
    su -s /bin/sh munge -c "munged --force --key-file='$dir/munge/key' --pid-file='$dir/munge/munged.pid' --log-file='$dir/munge/log' --seed-file='$dir/munge/seed'"
fi
grep -qw "$host" /etc/hosts || echo "127.0.0.1 $host" >>/etc/hosts
cat >"$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$dir/slurm.conf
slurmctld
sleep 2
slurmd
for _ in $(seq 30); do
    sinfo --noheader --format %t 2>/dev/null | grep -q idle && exit 0
    sleep 1
done
give_up "Slurm does not become ready: its logs are in $dir"
