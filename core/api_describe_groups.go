package core

import "github.com/twmb/franz-go/pkg/kmsg"

// DescribeGroups, v0 to v6: groups with their members.
//
//   - v3 tells what the client may do with a group, when asked to; without ACLs,
//     all. v4 tells group.instance.id.
//   - Unknown, or of the type consumer: the state Dead and no error up to v5; v6 says GROUP_ID_NOT_FOUND,
//     and has words for it.
//   - Metadata of members is told of Stable groups only: before, it is not
//     settled which of it counts.
func describeGroups(c *groupCall, req *kmsg.DescribeGroupsRequest) {
	c.coordinateThen(req, func(resp kmsg.Response) {
		if req.IncludeAuthorizedOperations {
			groups := resp.(*kmsg.DescribeGroupsResponse).Groups
			for i := range groups {
				if groups[i].ErrorCode == 0 {
					groups[i].AuthorizedOperations = groupOperations
				}
			}
		}
		c.answer(resp)
	})
}

// groupOperations is what a client may do with a group, as in api_metadata.go.
const groupOperations = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11
