// The session of this tab: of an account of this system, or with the token of another identity provider if the gateway
// passes through no sign-in.
import * as account from "./account-session.js";
import { offers } from "./features.js";
import * as foreign from "./token-session.js";

export const HAS_ACCOUNTS = offers("POST /v1/tokens");

export const { changes, isSignedIn, accessToken, claims, resume, renew, signOut } = HAS_ACCOUNTS ? account : foreign;
