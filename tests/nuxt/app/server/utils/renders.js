// What the renders of this process share.
export const renders = { count: 0, broken: false };
