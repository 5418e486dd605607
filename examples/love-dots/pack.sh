#!/bin/sh
# Makes a .love of a game and of the library: `pack.sh GAME-FOLDER FILE.love`. LÖVE needs nothing else.
set -e
lua=$(cd "$(dirname "$0")/../../lua" && pwd)
game=$(cd "$1" && pwd)
case $2 in /*) file=$2 ;; *) file=$PWD/$2 ;; esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$game/." "$lua/websockets.lua" "$lua/websockets" "$folder"
rm -f "$file"
cd "$folder"
if command -v zip >/dev/null; then zip -qr "$file" .; else python3 -m zipfile -c "$file" ./*; fi
