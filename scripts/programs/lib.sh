# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the programs in the guest share. The last line of output is what the table says.

set -euo pipefail
# How long the load of each runs, more or less
# shellcheck disable=SC2034
secs=${SECS:-5}
work=$(mktemp -d)
chmod 755 "$work"
cd "$work"

fail()
{
	echo "$*"
	exit 1
}

# soon COMMAND...: until it succeeds, for a minute and a half
soon()
{
	local end=$((SECONDS + 90))
	until "$@" > soon.out 2>&1; do
		[ $SECONDS -lt $end ] || { cat soon.out; fail "not within 90 s: $*"; }
		sleep 0.3
	done
}

# as USER COMMAND...
as()
{
	setpriv --reuid "$1" --regid "$1" --init-groups "${@:2}"
}

# same WHAT A B: what should be equal is.
same()
{
	[ "$2" = "$3" ] || fail "$1: $2, should be $3"
}
