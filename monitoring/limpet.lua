-- A dissector for Wireshark and tshark of the files that limpetctl tap --write makes:
-- packets of the link type USER0, each a kbus.limpet.v1.TapResponse as protobuf. See
-- docs/tap.md. It runs with Lua 5.2 and later.

local limpet = Proto("limpet", "limpetd tap")

local directions = { [1] = "to the peer", [2] = "from the peer" }
local verdicts = { [1] = "forwarded", [2] = "delivered", [3] = "dropped" }
local kinds = { [1] = "announcement", [2] = "request", [3] = "reply", [4] = "bind event" }
local flag_names = {
	{ 0x1, "WANT_A_REPLY" }, { 0x2, "WANT_YOU_TO_REPLY" }, { 0x4, "SYNTHETIC" }, { 0x8, "URGENT" },
	{ 0x100, "ALL_OR_WAIT" }, { 0x200, "ALL_OR_FAIL" },
}

local f = {
	link = ProtoField.string("limpet.link", "Link"),
	direction = ProtoField.uint32("limpet.direction", "Direction", base.DEC, directions),
	verdict = ProtoField.uint32("limpet.verdict", "Verdict", base.DEC, verdicts),
	reason = ProtoField.string("limpet.reason", "Reason"),
	loss = ProtoField.bool("limpet.loss", "Somebody may miss it"),
	own = ProtoField.bool("limpet.own", "Made by the limpet"),
	kind = ProtoField.uint32("limpet.kind", "Kind", base.DEC, kinds),
	name = ProtoField.string("limpet.name", "Name", "Of either side"),
	size = ProtoField.uint32("limpet.size", "Bytes of data"),
	data = ProtoField.bytes("limpet.data", "Data"),
	withheld = ProtoField.bool("limpet.data_withheld", "Data withheld by the rules"),
	format = ProtoField.uint32("limpet.format", "Format"),
	version = ProtoField.string("limpet.version", "Version of limpetd"),
	network = ProtoField.uint32("limpet.network_id", "Network id"),
	bus = ProtoField.string("limpet.bus", "Bus"),
	max_rate = ProtoField.uint32("limpet.max_rate", "Records a second at most"),
	max_data = ProtoField.uint32("limpet.max_data", "Bytes of data at most"),
	over_rate = ProtoField.uint64("limpet.lost.over_rate", "Beyond the rate"),
	no_room = ProtoField.uint64("limpet.lost.no_room", "Came too fast to be taken"),
}
local sides = {}
for _, side in ipairs({ "read", "given" }) do
	local s = {}
	for _, x in ipairs({ { "name", "Name" }, { "id", "Id" }, { "in_reply_to", "In reply to" }, { "orig_from", "First sent by" }, { "final_to", "In the end to" }, { "flags_text", "Flags" }, { "bound", "Bind event" } }) do
		s[x[1]] = ProtoField.string("limpet." .. side .. "." .. x[1], x[2])
	end
	s.from = ProtoField.uint32("limpet." .. side .. ".from", "From Ksock")
	s.to = ProtoField.uint32("limpet." .. side .. ".to", "To Ksock")
	s.flags = ProtoField.uint32("limpet." .. side .. ".flags", "Flags", base.HEX)
	sides[side] = s
	for name, field in pairs(s) do f[side .. "." .. name] = field end
end
limpet.fields = f

local malformed = ProtoExpert.new("limpet.malformed", "It is no message of a tap", expert.group.MALFORMED, expert.severity.ERROR)
local lost = ProtoExpert.new("limpet.not_shown", "The tap could not show everything", expert.group.SEQUENCE, expert.severity.WARN)
local missed = ProtoExpert.new("limpet.missed", "Somebody may miss this message", expert.group.RESPONSE_CODE, expert.severity.WARN)
limpet.experts = { malformed, lost, missed }

-- varint returns the number at an offset of a range, and where the next thing begins; nil
-- if it is cut off. Beyond 53 bits numbers are not exact.
local function varint(range, at)
	local n, scale = 0, 1
	for i = at, at + 9 do
		if i >= range:len() then return nil end
		local b = range(i, 1):uint()
		n = n + (b % 128) * scale
		if b < 128 then return n, i + 1 end
		scale = scale * 128
	end
	return nil
end

-- parts returns what a protobuf message has: a list of { field, number or range, range }; nil
-- if it is malformed.
local function parts(range)
	local all, at = {}, 0
	while range and at < range:len() do
		local key, from = varint(range, at)
		if not key then return nil end
		local field, kind = math.floor(key / 8), key % 8
		local value, next_at
		if kind == 0 then
			value, next_at = varint(range, from)
			if not value then return nil end
		elseif kind == 2 then
			local size
			size, from = varint(range, from)
			if not size or from + size > range:len() then return nil end
			if size > 0 then value = range(from, size) end
			next_at = from + size
		elseif kind == 1 or kind == 5 then -- of no field that is known
			next_at = from + (kind == 1 and 8 or 4)
			if next_at > range:len() then return nil end
		else
			return nil
		end
		if kind ~= 1 and kind ~= 5 then
			all[#all + 1] = { field, value, range(at, next_at - at) }
		end
		at = next_at
	end
	return all
end

-- values returns the last value of each field, and its range.
local function values(range)
	local found = range and parts(range) or (range == nil and {}) or nil
	if not found then return nil end
	local v, r = {}, {}
	for _, p in ipairs(found) do v[p[1]], r[p[1]] = p[2], p[3] end
	return v, r
end

-- number and text make sure of a field's type: a file may have anything.
local function number(v) return type(v) == "number" and v or 0 end
local function range_of(v) return type(v) == "userdata" and v or nil end
local function text(v) return range_of(v) and v:string(ENC_UTF_8) or "" end
local function uint32(v) return number(v) % 4294967296 end

local function id(network, serial) return string.format("[%.0f:%.0f]", uint32(network), uint32(serial)) end
local function address(network, ksock) return string.format("{%.0f:%.0f}", uint32(network), uint32(ksock)) end

local function flags_text(flags)
	local all = {}
	for _, x in ipairs(flag_names) do
		if math.floor(flags / x[1]) % 2 == 1 then
			all[#all + 1] = x[2]
			flags = flags - x[1]
		end
	end
	if flags > 0 or #all == 0 then all[#all + 1] = string.format("0x%x", flags) end
	return table.concat(all, "|")
end

-- side adds one side of a message, and returns its name and id.
local function add_side(tree, range, which, label)
	local v = values(range)
	if not v then
		tree:add_proto_expert_info(malformed)
		return nil
	end
	local s, name, own = sides[which], text(v[12]), id(v[1], v[2])
	local sub = tree:add(limpet, range, label .. ": " .. name .. " " .. own)
	sub:add(s.name, range, name)
	sub:add(f.name, range, name):set_hidden(true)
	sub:add(s.id, range, own)
	if v[3] or v[4] then sub:add(s.in_reply_to, range, id(v[3], v[4])) end
	sub:add(s.from, range, uint32(v[6]))
	if v[5] then sub:add(s.to, range, uint32(v[5])) end
	if v[7] or v[8] then sub:add(s.orig_from, range, address(v[7], v[8])) end
	if v[9] or v[10] then sub:add(s.final_to, range, address(v[9], v[10])) end
	if v[11] then
		sub:add(s.flags, range, uint32(v[11]))
		sub:add(s.flags_text, range, flags_text(uint32(v[11])))
	end
	local event = range_of(v[14]) and values(v[14])
	if event then
		sub:add(s.bound, range, string.format("%s %s by %.0f", text(event[3]), number(event[1]) ~= 0 and "bound" or "unbound", uint32(event[2])))
	end
	return name, own
end

local function record(range, pinfo, tree)
	local v, r = values(range)
	if not v then
		tree:add_proto_expert_info(malformed)
		return
	end
	tree:add(f.link, r[2] or range, text(v[2]))
	tree:add(f.direction, r[3] or range, uint32(v[3]))
	tree:add(f.verdict, r[4] or range, uint32(v[4]))
	if v[5] then tree:add(f.reason, r[5], text(v[5])) end
	local loss = tree:add(f.loss, r[6] or range, number(v[6]) ~= 0)
	if number(v[6]) ~= 0 then loss:add_proto_expert_info(missed) end
	tree:add(f.own, r[7] or range, number(v[7]) ~= 0)
	tree:add(f.kind, r[8] or range, uint32(v[8]))
	local name, read, given_name, given
	if range_of(v[9]) then name, read = add_side(tree, v[9], "read", "As read") end
	if range_of(v[10]) then given_name, given = add_side(tree, v[10], "given", "As given") end
	tree:add(f.size, r[11] or range, uint32(v[11]))
	if range_of(v[12]) then tree:add(f.data, v[12]) end
	tree:add(f.withheld, r[13] or range, number(v[13]) ~= 0)

	local info = (kinds[v[8]] or "message") .. " " .. (name or given_name or "") .. " " .. (read or given or "")
	if read and given and (given ~= read or given_name ~= name) then
		info = info .. " => " .. (given_name ~= name and given_name .. " " or "") .. given
	end
	info = info .. " " .. (verdicts[v[4]] or "?")
	if v[5] then info = info .. " (" .. text(v[5]) .. ")" end
	pinfo.cols.info = info
	if v[3] == 2 then
		pinfo.cols.src, pinfo.cols.dst = text(v[2]), "our bus"
	else
		pinfo.cols.src, pinfo.cols.dst = "our bus", text(v[2])
	end
end

function limpet.dissector(buffer, pinfo, tree)
	pinfo.cols.protocol = "LIMPET"
	local range = buffer:len() > 0 and buffer() or nil
	local root = range and tree:add(limpet, range, "limpetd tap") or tree:add(limpet, "limpetd tap")
	local found = range and parts(range) or nil
	if not found then
		root:add_proto_expert_info(malformed)
		return buffer:len()
	end
	for _, p in ipairs(found) do
		local v = range_of(p[2]) and values(p[2]) or {}
		if p[1] == 1 then
			root:add(f.format, p[3], uint32(v[1]))
			root:add(f.version, p[3], text(v[2]))
			root:add(f.network, p[3], uint32(v[3]))
			root:add(f.bus, p[3], text(v[4]))
			root:add(f.max_rate, p[3], uint32(v[5]))
			root:add(f.max_data, p[3], uint32(v[6]))
			pinfo.cols.info = string.format("tap of network %.0f begins, limpetd %s", uint32(v[3]), text(v[2]))
		elseif p[1] == 2 then
			if range_of(p[2]) then record(p[2], pinfo, root) end
		elseif p[1] == 3 then
			root:add(f.over_rate, p[3], UInt64(number(v[1]) % 4294967296, math.floor(number(v[1]) / 4294967296) % 4294967296))
			local room = root:add(f.no_room, p[3], UInt64(number(v[2]) % 4294967296, math.floor(number(v[2]) / 4294967296) % 4294967296))
			room:add_proto_expert_info(lost)
			pinfo.cols.info = string.format("not shown so far: %.0f beyond the rate, %.0f that came too fast", number(v[1]), number(v[2]))
		end
	end
	return buffer:len()
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, limpet)
